// SPDX-License-Identifier: Apache-2.0
// What the system may refuse, for tests: system calls in one thread, resources for a moment.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>
#include <thread>
#include <utility>

namespace qlcshape {

// Runs `what` on a thread in which that system call fails as `error_number`.
template <class What>
void without_call(int call, int error_number, What what) {
    bool refused = false;
    std::thread([&] {
        sock_filter steps[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number)),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const sock_fprog filter{4, steps};
        refused = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
        if (refused) what();
    }).join();
    REQUIRE(refused);
}

// A limit of this process, as long as it lives.
class LowerLimit {
  public:
    LowerLimit(__rlimit_resource resource, rlim_t most) : resource_(resource) {
        REQUIRE(::getrlimit(resource_, &before_) == 0);
        const rlimit lower{most, before_.rlim_max};
        REQUIRE(::setrlimit(resource_, &lower) == 0);
    }
    ~LowerLimit() { ::setrlimit(resource_, &before_); }
    LowerLimit(const LowerLimit&) = delete;
    LowerLimit& operator=(const LowerLimit&) = delete;

  private:
    __rlimit_resource resource_;
    rlimit before_{};
};

}  // namespace qlcshape
