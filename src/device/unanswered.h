// SPDX-License-Identifier: Apache-2.0
// Media on which this process has had something under way that it no longer waits for: a transfer,
// or the call that opens one. Where such a medium is locked, it does not answer. Any thread.
#pragma once

#include <string>

namespace qlcshape {

// As long as this lives. `medium`: as medium_of() names it; empty where it can't: then the path is
// what it is known by.
class Unanswered {
  public:
    Unanswered(const std::string& medium, const std::string& path);
    ~Unanswered();
    Unanswered(const Unanswered&) = delete;
    Unanswered& operator=(const Unanswered&) = delete;

  private:
    const std::string* name_;  // of those that no answer came from
};

bool is_unanswered(const std::string& medium, const std::string& path);
// Whether there ever was one.
bool were_any_unanswered();

}  // namespace qlcshape
