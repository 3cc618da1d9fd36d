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
    std::list<std::string> names;
    std::atomic<bool> ever{false};
};

// Never destroyed: drives may answer at the very end.
Registry& registry() {
    static auto* all = new Registry;
    return *all;
}

}  // namespace

Unanswered::Unanswered(const std::string& medium, const std::string& path) {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    name_ = &all.names.emplace_back(medium.empty() ? path : medium);
    all.ever = true;
}

Unanswered::~Unanswered() {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    std::erase_if(all.names, [&](const std::string& name) { return &name == name_; });
}

bool is_unanswered(const std::string& medium, const std::string& path) {
    Registry& all = registry();
    const std::lock_guard lock(all.mutex);
    return std::ranges::any_of(
        all.names, [&](const std::string& name) { return name == medium || name == path; });
}

bool were_any_unanswered() { return registry().ever; }

}  // namespace qlcshape
