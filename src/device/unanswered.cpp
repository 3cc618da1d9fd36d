// SPDX-License-Identifier: Apache-2.0
#include "device/unanswered.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>

namespace qlcshape {

namespace {

struct Registry {
    std::mutex mutex;
    std::list<std::string> media;
    std::atomic<bool> ever{false};
};

// Never destroyed: drives may answer at the very end.
Registry& registry() {
    static auto* all = new Registry;
    return *all;
}

}  // namespace

Unanswered::Unanswered(const std::string& medium) {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    medium_ = &all.media.emplace_back(medium);
    all.ever = true;
}

Unanswered::~Unanswered() {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    std::erase_if(all.media, [&](const std::string& medium) { return &medium == medium_; });
}

bool is_unanswered(const std::string& medium) {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    return !medium.empty() && std::ranges::find(all.media, medium) != all.media.end();
}

bool were_any_unanswered() { return registry().ever; }

}  // namespace qlcshape
