// SPDX-License-Identifier: Apache-2.0
// A lock outlives the process that took it where another inherited the descriptor.
#include "device/file_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

using namespace qlcshape;

namespace {

struct File {
    File() : fd(::mkostemp(path.data(), O_CLOEXEC)) { REQUIRE(fd >= 0); }
    ~File() {
        ::close(fd);
        ::unlink(path.c_str());
    }
    std::string path = "/tmp/qlcshape-XXXXXX";
    int fd;
};

// Another process, which has a lock that its parent took before it ended.
pid_t leave_lock(const std::string& path, bool marked = false) {
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    const pid_t parent = ::fork();
    if (parent == 0) {
        const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) != 0) ::_exit(1);
        if (marked) mark_left_to_kernel(fd);
        const pid_t heir = ::fork();
        if (heir != 0) ::_exit(heir < 0 ? 1 : 0);
        const pid_t self = ::getpid();
        if (::write(ready[1], &self, sizeof(self)) != sizeof(self)) ::_exit(1);
        for (;;) ::pause();
    }
    REQUIRE(::waitpid(parent, nullptr, 0) == parent);
    ::close(ready[1]);
    pid_t heir = 0;
    REQUIRE(::read(ready[0], &heir, sizeof(heir)) == sizeof(heir));
    ::close(ready[0]);
    return heir;
}

}  // namespace

TEST_CASE("file lock: of a process that has ended, inherited by another") {
    const File file;
    const pid_t heir = leave_lock(file.path);
    CHECK(is_locked_for_writing(file.fd));
    const Status refused = lock_file(file.fd, file.path, Access::read_write);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::busy);
    CHECK(refused.error().message.find("another one may have its lock") != std::string::npos);
    ::kill(heir, SIGKILL);
    CHECK(lock_file(file.fd, file.path, Access::read_write));
}

// The heir stands for the kernel.
TEST_CASE("file lock: of a process that has ended, and left a transfer to the kernel") {
    const File file;
    const pid_t kernel = leave_lock(file.path, true);
    CHECK_FALSE(is_locked_for_writing(file.fd));
    const Status refused = lock_file(file.fd, file.path, Access::read_write);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::device_failed);
    ::kill(kernel, SIGKILL);
    CHECK(lock_file(file.fd, file.path, Access::read_write));
}
