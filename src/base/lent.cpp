// SPDX-License-Identifier: Apache-2.0
#include "base/lent.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace qlcshape {

namespace {

struct Registry {
    struct Freed {
        std::byte* memory;
        std::size_t bytes;
        FreeMemory free;
    };
    std::mutex mutex;
    std::vector<std::span<const std::byte>> lent;
    std::vector<Freed> waiting;  // each has some of what is lent, so there is room for them
    std::atomic<std::size_t> parts{0};
};

// Never destroyed: memory is freed until the very end.
Registry& registry() {
    static auto* all = new Registry;
    return *all;
}

bool in_use(const Registry& all, const std::byte* memory, std::size_t bytes) {
    return std::ranges::any_of(all.lent, [&](const auto& part) {
        return part.data() < memory + bytes && memory < part.data() + part.size();
    });
}

}  // namespace

Lent::Lent(Parts parts) : parts_(std::move(parts)) {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    all.lent.reserve(all.lent.size() + parts_.size());
    all.waiting.reserve(all.lent.size() + parts_.size());
    all.lent.insert(all.lent.end(), parts_.begin(), parts_.end());
    all.parts = all.lent.size();
}

Lent::~Lent() {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    for (const auto& part : parts_) {
        const auto same = [&](const auto& other) {
            return other.data() == part.data() && other.size() == part.size();
        };
        all.lent.erase(std::ranges::find_if(all.lent, same));
    }
    all.parts = all.lent.size();
    std::erase_if(all.waiting, [&](const Registry::Freed& f) {
        const bool free = !in_use(all, f.memory, f.bytes);
        if (free) f.free(f.memory, f.bytes);
        return free;
    });
}

void free_when_returned(std::byte* memory, std::size_t bytes, FreeMemory free) noexcept {
    Registry& all = registry();
    if (all.parts != 0) {
        const std::lock_guard lock(all.mutex);
        if (in_use(all, memory, bytes)) return all.waiting.push_back({memory, bytes, free});
    }
    free(memory, bytes);
}

}  // namespace qlcshape
