// SPDX-License-Identifier: Apache-2.0
// One volume as a block device: finds or makes it, runs its queues on threads of their own, and
// ends it. All calls come from one thread, the server's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qlcshape/volume.h"
#include "tools/ublk/control.h"
#include "tools/ublk/queue.h"
#include "tools/ublk/shape.h"

namespace qlcshape::ublk {

struct Wish {
    std::optional<std::uint32_t> number;  // N of /dev/ublkbN; none: any
    std::uint64_t mark = 0;               // mark_of()
    Shape shape;
};

// The device that an earlier server of this volume left, if there is one. Error exists: the number
// is taken by another device.
Result<std::optional<DeviceInfo>> find_left(const Control& control, const Wish& wish);

// Whether a file system, a mapping or the like has it. Programs that merely have it open don't
// count: nobody tells of them.
bool is_claimed(std::uint32_t device);

class Device {
  public:
    // From any thread.
    using Report = std::function<void(LogLevel level, const std::string& message)>;

    // I/O works when it returns. A device that an earlier server left goes on; where there is none
    // it is made. An error leaves everything as it was found.
    static Result<std::unique_ptr<Device>> serve(const Control& control, const Wish& wish,
                                                 const Volume& volume, Report report);
    // When the engine has been closed: its threads call into the queues until then.
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    std::string path() const { return block_path(info_.dev_id); }
    bool recovered() const { return recovered_; }
    // Whether it stays without a server, its requests waiting for the next one.
    bool outlives_server() const { return (info_.flags & kRecovery) != 0; }
    // Queues still run; where not, somebody has deleted the device.
    bool served() const;
    // Tells the kernel that the volume's size changed, where it did and the kernel can be told.
    void follow_size();

    // Ends serving: what was begun is carried out, the queues end. The device stays, and its
    // requests wait.
    void leave();
    // Leaves a device that outlives its server and that somebody has claimed, and returns true.
    // Otherwise the device goes: what was written to it through the page cache is written out, then
    // who still has it open gets errors.
    Result<bool> end();

  private:
    struct Worker;

    Device(const Control& control, DeviceInfo info, const Volume& volume, Report report);
    Status make(const Wish& wish);
    Status recover(const Wish& wish);
    Status open_character_device();
    Status run_queues();
    void end_queues();
    void close_character_device();
    void shorten_time_limit() const;

    const Control& control_;
    DeviceInfo info_;
    const Volume volume_;
    const Report report_;
    bool recovered_ = false;
    int fd_ = -1;  // /dev/ublkcN
    std::uint64_t told_bytes_ = 0;
    std::span<std::byte> memory_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace qlcshape::ublk
