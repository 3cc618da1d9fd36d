// SPDX-License-Identifier: Apache-2.0
// Control commands to the ublk driver: devices are made, started, stopped, found. One thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/ublk/kernel.h"

namespace qlcshape::ublk {

// How commands get to the driver: /dev/ublk-control, or a test's.
class Driver {
  public:
    virtual ~Driver() = default;
    // The command's result: 0 or more, or -errno. -ETIME: it has not ended within `patience_s`
    // seconds, and goes on.
    virtual int send(Command command, const ControlWords& words, int patience_s) = 0;
    // Of the devices that there are.
    virtual std::vector<std::uint32_t> devices() const = 0;
};

// Errors: not_found (no ublk in this kernel, or the module is not loaded), unsupported, io_error.
Result<std::unique_ptr<Driver>> open_driver();

std::string block_path(std::uint32_t device);      // /dev/ublkb0
std::string character_path(std::uint32_t device);  // /dev/ublkc0

// Each error names the device, what was asked, the errno and a remedy.
class Control {
  public:
    explicit Control(Driver& driver);

    // Bits of UBLK_F_*; nothing where the kernel can't be asked (before Linux 6.5).
    std::optional<std::uint64_t> features() const { return features_; }

    // Error not_found: there is none of that number.
    Result<DeviceInfo> info(std::uint32_t device) const;
    // Those that this user may look at.
    std::vector<DeviceInfo> all() const;

    // Fills in the number and what the kernel made of the rest. `info.flags` as wished: what the
    // kernel doesn't know it drops.
    Status add(DeviceInfo& info) const;
    Status set_parameters(const DeviceInfo& info, const Parameters& parameters) const;
    Result<Parameters> parameters(const DeviceInfo& info) const;
    // Returns when /dev/ublkbN is there, for which it was read.
    Status start(const DeviceInfo& info) const;
    // Requests end with errors from here on; those that the server has are waited for.
    Status stop(const DeviceInfo& info) const;
    // When the server has closed /dev/ublkcN. Where a program still has the block device open
    // it stays until that one closes it, and this does not wait for it.
    Status remove(const DeviceInfo& info) const;
    // A device whose server has ended is given a new one: start, all queues fetch, end. Waits for
    // the kernel to notice that the old server is gone.
    Status start_recovery(const DeviceInfo& info) const;
    Status end_recovery(const DeviceInfo& info) const;
    Status update_size(const DeviceInfo& info, std::uint64_t bytes) const;

  private:
    template <class T>
    int with(Command command, const DeviceInfo& info, T& payload) const;
    int plain(Command command, const DeviceInfo& info, std::uint64_t data,
              int patience_s = kPatienceS) const;
    int send(Command command, const DeviceInfo& info, void* payload, std::size_t bytes,
             std::uint64_t data, int patience_s) const;
    std::unexpected<Error> refuse(const DeviceInfo& info, const char* what, int result) const;

    static constexpr int kPatienceS = 300;  // for what ends when drives have answered

    Driver& driver_;
    std::optional<std::uint64_t> features_;
    mutable std::list<std::vector<char>> abandoned_;
};

}  // namespace qlcshape::ublk
