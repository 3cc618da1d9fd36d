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
pid_t leave_lock(const std::string& path) {
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    const pid_t parent = ::fork();
    if (parent == 0) {
        const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) != 0) ::_exit(1);
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
    CHECK(refused.error().message.find("in use by process " + std::to_string(heir)) !=
          std::string::npos);
    ::kill(heir, SIGKILL);
    CHECK(lock_file(file.fd, file.path, Access::read_write));
}

// Not "the kernel keeps it", by which an array would be opened without the drive.
TEST_CASE("file lock: who can't look into all processes takes it for one in use") {
    if (::geteuid() != 0) return;
    const File file;
    const pid_t heir = leave_lock(file.path);
    const pid_t nobody = ::fork();
    if (nobody == 0) {
        constexpr uid_t kNobody = 65534;
        if (::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(1);
        const Status refused = lock_file(file.fd, file.path, Access::read_write);
        const bool told = !refused && refused.error().code == Errc::busy &&
                          refused.error().message.find("only root can tell") != std::string::npos;
        ::_exit(told && is_locked_for_writing(file.fd) ? 0 : 2);
    }
    int status = 0;
    REQUIRE(::waitpid(nobody, &status, 0) == nobody);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    ::kill(heir, SIGKILL);
}
