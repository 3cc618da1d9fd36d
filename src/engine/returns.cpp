// SPDX-License-Identifier: Apache-2.0
#include "engine/returns.h"

#include <algorithm>

#include "base/repeats.h"
#include "device/medium.h"
#include "device/unanswered.h"
#include "engine/monitor.h"

namespace qlcshape {

void Returns::look() {
    const std::vector<std::string> paths = engine_.paths_to_return();
    const std::uint64_t now = steady_seconds();
    if (now - looked_s_ < kLookSeconds) return;
    looked_s_ = now;
    for (const std::string& path : paths) try_at(path, known_[path]);
}

void Returns::try_at(const std::string& path, Known& known) {
    constexpr std::uint64_t kHour = 3600;
    std::erase_if(known.returns, [&](std::uint64_t at) { return looked_s_ - at >= kHour; });
    if (known.returns.size() >= kMostAnHour) {
        return log_once(options_, known.told,
                        fmt::format("{}: it has come back {} times within an hour, and stays out; "
                                    "look at the drive and its path, or replace it",
                                    path, kMostAnHour));
    }
    if (looked_s_ < known.next_s) return;
    if (is_unanswered(medium_of(path), path)) {
        return log_once(options_, known.told,
                        fmt::format("{}: does not answer; it comes back when it has ended what it "
                                    "was told, or at the next opening",
                                    path));
    }
    auto device = open_device(path, 0, Access::read_write, false);
    if (!device) return;  // status says that it is out, or missing
    bool begun = false;
    const Status back = engine_.bring_back(std::move(*device), begun);
    if (begun) known.returns.push_back(looked_s_);
    if (back) {
        known.told.clear();
        known.pause_s = 0;
    } else if (back.error().code != Errc::busy && back.error().code != Errc::closed) {
        known.pause_s = std::clamp(2 * known.pause_s, kLookSeconds, kMostSeconds);
        known.next_s = looked_s_ + known.pause_s;
        log_once(options_, known.told, back.error().message);
    }
}

}  // namespace qlcshape
