// SPDX-License-Identifier: Apache-2.0
// Media on which this process has something under way that it no longer waits for: a transfer, or
// the call that opens one. They stay locked until they answer, and count as failed. Any thread.
#pragma once

#include <string>

namespace qlcshape {

// As long as this lives. `medium`: as medium_of() names it.
class Unanswered {
  public:
    explicit Unanswered(const std::string& medium);
    ~Unanswered();
    Unanswered(const Unanswered&) = delete;
    Unanswered& operator=(const Unanswered&) = delete;

  private:
    const std::string* medium_;  // in the registry
};

bool is_unanswered(const std::string& medium);
bool any_unanswered();

}  // namespace qlcshape
