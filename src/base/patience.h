// SPDX-License-Identifier: Apache-2.0
// Calls into the kernel that may not return, as on a file whose FUSE server hangs: made on a thread
// of their own, which is left behind when it takes too long.
#pragma once

#include <chrono>
#include <future>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace qlcshape {

inline constexpr std::chrono::seconds kCallPatience(10);

// What `call` returns; nothing if that takes too long. What the call uses must be its own. Where
// there is no thread to be had it is made here, however long it takes.
template <class Call>
auto with_patience(Call call, std::chrono::seconds patience = kCallPatience)
    -> std::optional<decltype(call())> {
    std::packaged_task<decltype(call())()> task(call);
    auto outcome = task.get_future();
    try {
        std::thread([own = std::move(task)]() mutable { own(); }).detach();
    } catch (const std::system_error&) {
        return call();
    }
    if (outcome.wait_for(patience) != std::future_status::ready) return std::nullopt;
    return outcome.get();
}

}  // namespace qlcshape
