// SPDX-License-Identifier: Apache-2.0
#include "tools/ublk/control.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/process.h"

namespace qlcshape::ublk {

namespace {

constexpr int kRemovePatienceS = 5;
// The driver may notice by a request's time limit only that a server is gone: 30 s, twice at worst.
constexpr std::chrono::seconds kRecoveryPatience(180);

const char* remedy_for(int error) {
    switch (error) {
        case EPERM:
        case EACCES:
            return "this user may not: run it as root, or give the user /dev/ublk-control and "
                   "/dev/ublkc* (docs/ublk.md)";
        case EEXIST:
            return "the number is taken: choose another --id, or leave it out";
        case ENOMEM:
            return "the kernel has no memory for it: stop what needs much, or serve fewer volumes";
        case ENODEV:
            return "the device is gone: somebody deleted it; serve again";
        case ETIME:
            return "it did not end in time; see the kernel's log (dmesg)";
        default:
            return "see the kernel's log (dmesg)";
    }
}

Errc code_for(int error) {
    switch (error) {
        case EEXIST:
            return Errc::exists;
        case ENODEV:
            return Errc::not_found;
        case ENOMEM:
            return Errc::no_memory;
        case EBUSY:
            return Errc::busy;
        default:
            return Errc::io_error;
    }
}

}  // namespace

std::string block_path(std::uint32_t device) { return fmt::format("/dev/ublkb{}", device); }
std::string character_path(std::uint32_t device) { return fmt::format("/dev/ublkc{}", device); }

Control::Control(Driver& driver) : driver_(driver) {
    std::uint64_t features = 0;
    ControlWords words;
    words.bytes = sizeof(features);
    words.address = reinterpret_cast<std::uintptr_t>(&features);
    if (driver_.send(Command::get_features, words, kPatienceS) >= 0) features_ = features;
}

// Devices of users are asked for by their path, by which the kernel sees whether this user may.
int Control::send(Command command, const DeviceInfo& info, void* payload, std::size_t bytes,
                  std::uint64_t data, int patience_s) const {
    const bool by_path = command == Command::get_info_by_path ||
                         ((info.flags & kUnprivileged) != 0 && command != Command::add);
    const std::string path = by_path ? character_path(info.dev_id) : "";
    const std::size_t front = by_path ? path.size() + 1 : 0;
    std::vector<char> buffer(front + bytes);
    std::copy_n(path.c_str(), front, buffer.begin());
    if (bytes != 0) std::memcpy(buffer.data() + front, payload, bytes);
    ControlWords words;
    words.device = info.dev_id;
    words.bytes = static_cast<std::uint16_t>(buffer.size());
    words.address = buffer.empty() ? 0 : reinterpret_cast<std::uintptr_t>(buffer.data());
    words.data = data;
    words.path_bytes = static_cast<std::uint16_t>(front);
    const int result = driver_.send(command, words, patience_s);
    if (bytes != 0) std::memcpy(payload, buffer.data() + front, bytes);
    if (result == -ETIME) abandoned_.push_back(std::move(buffer));  // the kernel may use it yet
    return result;
}

template <class T>
int Control::with(Command command, const DeviceInfo& info, T& payload) const {
    return send(command, info, &payload, sizeof(payload), 0, kPatienceS);
}

int Control::plain(Command command, const DeviceInfo& info, std::uint64_t data,
                   int patience_s) const {
    return send(command, info, nullptr, 0, data, patience_s);
}

std::unexpected<Error> Control::refuse(const DeviceInfo& info, const char* what, int result) const {
    const std::string name =
        info.dev_id == UINT32_MAX ? "/dev/ublk-control" : block_path(info.dev_id);
    return fail(code_for(-result), "{}: {}: {}; {}", name, what, std::strerror(-result),
                remedy_for(-result));
}

Result<DeviceInfo> Control::info(std::uint32_t device) const {
    DeviceInfo info{};
    info.dev_id = device;
    const bool by_path = features_ && (*features_ & kUnprivileged) != 0;
    DeviceInfo found = info;
    const int result = with(by_path ? Command::get_info_by_path : Command::get_info, info, found);
    if (result < 0) return refuse(info, "can't be looked at", result);
    return found;
}

std::vector<DeviceInfo> Control::all() const {
    std::vector<DeviceInfo> found;
    for (const std::uint32_t device : driver_.devices()) {
        if (const auto info = this->info(device)) found.push_back(*info);
    }
    return found;
}

Status Control::add(DeviceInfo& info) const {
    DeviceInfo made = info;
    const int result = with(Command::add, info, made);
    if (result < 0) return refuse(info, "can't be made", result);
    info = made;
    return {};
}

Status Control::set_parameters(const DeviceInfo& info, const Parameters& parameters) const {
    Parameters copy = parameters;
    const int result = with(Command::set_parameters, info, copy);
    if (result < 0) return refuse(info, "the kernel does not take its parameters", result);
    return {};
}

Result<Parameters> Control::parameters(const DeviceInfo& info) const {
    Parameters parameters;
    const int result = with(Command::get_parameters, info, parameters);
    if (result < 0) return refuse(info, "its parameters can't be read", result);
    return parameters;
}

Status Control::start(const DeviceInfo& info) const {
    const int result = plain(Command::start, info, static_cast<std::uint64_t>(::getpid()));
    if (result < 0) return refuse(info, "can't be started", result);
    return {};
}

Status Control::stop(const DeviceInfo& info) const {
    const int result = plain(Command::stop, info, 0);
    if (result < 0) return refuse(info, "can't be stopped", result);
    return {};
}

Status Control::remove(const DeviceInfo& info) const {
    const int result = plain(Command::remove, info, 0, kRemovePatienceS);
    if (result < 0 && result != -ETIME) return refuse(info, "can't be deleted", result);
    return {};
}

Status Control::start_recovery(const DeviceInfo& info) const {
    const auto until = std::chrono::steady_clock::now() + kRecoveryPatience;
    for (;;) {
        const int result = plain(Command::start_recovery, info, 0);
        if (result >= 0) return {};
        if (result == -EBUSY && std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            continue;
        }
        if (result != -EBUSY) return refuse(info, "can't be recovered", result);
        return fail(Errc::busy, "{}: can't be recovered: {} still has it open; end that one",
                    block_path(info.dev_id), describe_process(info.ublksrv_pid));
    }
}

Status Control::end_recovery(const DeviceInfo& info) const {
    const int result = plain(Command::end_recovery, info, static_cast<std::uint64_t>(::getpid()));
    if (result < 0) return refuse(info, "its recovery does not end", result);
    return {};
}

Status Control::update_size(const DeviceInfo& info, std::uint64_t bytes) const {
    const int result = plain(Command::update_size, info, bytes / 512);
    if (result < 0) return refuse(info, "can't change its size", result);
    return {};
}

}  // namespace qlcshape::ublk
