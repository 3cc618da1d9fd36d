// SPDX-License-Identifier: Apache-2.0
// The kernel's interface for block devices in user space, as far as we use it. The kernel's own
// header has the I/O commands; control commands and the features that came after Linux 6.1, whose
// header Debian 12 has, are declared here under names of our own, so that any header serves.
#pragma once

#include <linux/ioctl.h>
#include <linux/ublk_cmd.h>

#include <cstdint>

namespace qlcshape::ublk {

constexpr std::uint32_t kSectorBytes = 512;  // in which the driver counts

// What a control command carries in its SQE.
struct ControlWords {
    std::uint32_t device = UINT32_MAX;
    std::uint16_t queue = UINT16_MAX;  // none of the commands here is for one queue
    std::uint16_t bytes = 0;           // at `address`, the path in front included
    std::uint64_t address = 0;
    std::uint64_t data = 0;
    std::uint16_t path_bytes = 0;  // Linux 6.3: the path of /dev/ublkcN, in front of the rest
    std::uint16_t pad = 0;
    std::uint32_t reserved = 0;
};
static_assert(sizeof(ControlWords) == 32);

// A device as the kernel keeps it. The two reserved words are its owner since Linux 6.3.
using DeviceInfo = ublksrv_ctrl_dev_info;
static_assert(sizeof(DeviceInfo) == 64);

// The part of ublk_params that every kernel has.
struct Parameters {
    std::uint32_t bytes = sizeof(Parameters);
    std::uint32_t kinds = UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD;
    ublk_param_basic basic{};
    ublk_param_discard discard{};
};
static_assert(sizeof(Parameters) == 64);

// Numbers of the control commands; the later ones are known to kernels with GET_FEATURES alone.
enum class Command : std::uint8_t {
    get_info = 0x02,
    add = 0x04,
    remove = 0x05,
    start = 0x06,
    stop = 0x07,
    set_parameters = 0x08,
    get_parameters = 0x09,
    start_recovery = 0x10,
    end_recovery = 0x11,
    get_info_by_path = 0x12,
    get_features = 0x13,
    update_size = 0x15,
};

constexpr std::uint64_t kRecovery = 1U << 3;      // requests wait while there is no server
constexpr std::uint64_t kReissue = 1U << 4;       // and those that one left are given to the next
constexpr std::uint64_t kUnprivileged = 1U << 5;  // a device of a user who is not root
constexpr std::uint64_t kUpdateSize = 1U << 10;   // a device in use may change its size

// How a command is written where the kernel has GET_FEATURES; before that it is the bare number.
constexpr std::uint32_t encoded(std::uint32_t number, bool reads_only, std::size_t words) {
    const std::uint32_t direction = reads_only ? _IOC_READ : _IOC_READ | _IOC_WRITE;
    return _IOC(direction, 'u', number, static_cast<std::uint32_t>(words));
}

}  // namespace qlcshape::ublk
