// SPDX-License-Identifier: Apache-2.0
#include "device/unanswered.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>

namespace qlcshape {

namespace {

struct Names {
    std::mutex mutex;
    std::list<std::string> list;
    std::atomic<bool> ever{false};
};

// Never destroyed: drives may answer at the very end.
Names& unanswered_names() {
    static auto* all = new Names;
    return *all;
}

}  // namespace

Unanswered::Unanswered(const std::string& medium, const std::string& path) {
    Names& all = unanswered_names();
    const std::lock_guard lock(all.mutex);
    name_ = &all.list.emplace_back(medium.empty() ? path : medium);
    all.ever = true;
}

Unanswered::~Unanswered() {
    Names& all = unanswered_names();
    const std::lock_guard lock(all.mutex);
    std::erase_if(all.list, [&](const std::string& name) { return &name == name_; });
}

bool is_unanswered(const std::string& medium, const std::string& path) {
    Names& all = unanswered_names();
    const std::lock_guard lock(all.mutex);
    return std::ranges::any_of(
        all.list, [&](const std::string& name) { return name == medium || name == path; });
}

bool were_any_unanswered() { return unanswered_names().ever; }

}  // namespace qlcshape
