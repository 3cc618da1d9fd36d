// SPDX-License-Identifier: Apache-2.0
// What lies under a block device: the file of a loop device, and of what is made of loop devices.
// Its bytes can be opened by two names, and a lock on one is not seen under the other.
//
//   /dev/loop0     whole file qlc0.img            locked as qlc0.img itself would be
//   /dev/loop0p2   a range of qlc0.img            shares the file with other ranges of it
//   /dev/dm-0      drives, one is /dev/loop0      shares the file; which range is not known
//
// The kernel itself looks after partitions, dm and md on drives: it lets one program at a time
// open them exclusively. A loop device takes no such claim on what it lies on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"

struct stat;

namespace qlcshape {

inline constexpr const char* kSysfs = "/sys";

struct Backing {
    std::string loop;          // its device, "loop0"
    std::string path;          // its file or block device, as the kernel names it
    bool named = false;        // a file or block device is there under this name
    bool silent = false;       // whether it is can't be found out: its file system hangs
    bool block = false;        // a block device; otherwise a file
    dev_t device = 0;          // of a block device its own number, of a file its file system's
    ino_t inode = 0;           // of a file
    bool whole = false;        // all of it
    std::uint64_t offset = 0;  // where the range begins, if bytes is not 0
    std::uint64_t bytes = 0;   // 0: not known
};

// Of the block device `number`: nearest first, down to the last. Empty where no loop is involved.
std::vector<Backing> backings_of(const std::string& sysfs, dev_t number);

// The loop devices attached to the file: "/dev/loop0, /dev/loop3". Empty where there is none.
std::string loops_over(const std::string& sysfs, const std::string& path);

// Descriptors that are only held, and closed in the end.
class Held {
  public:
    Held() = default;
    Held(Held&& other) noexcept : descriptors_(std::exchange(other.descriptors_, {})) {}
    Held& operator=(Held&&) = delete;
    ~Held();
    void add(int descriptor) { descriptors_.push_back(descriptor); }
    void close();

  private:
    std::vector<int> descriptors_;
};

// Locks all that lies under an open block device, as lock_file() does for one file. Nothing for
// Access::inspect.
Status lock_backings(const std::vector<Backing>& backings, int fd, const std::string& path,
                     Access access, Held& held);

// As is_locked_for_writing(), of any of them.
bool are_locked_for_writing(const std::vector<Backing>& backings);

}  // namespace qlcshape
