// SPDX-License-Identifier: Apache-2.0
// Media on which this process has had something under way that it no longer waits for: a transfer,
// or the call that opens one. Where such a medium is locked, it does not answer. Any thread.
#pragma once

#include <string>

namespace qlcshape {

// As long as this lives. `medium`: as medium_of() names it, or the path where it can't.
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
// Whether there ever was one.
bool were_any_unanswered();

}  // namespace qlcshape
