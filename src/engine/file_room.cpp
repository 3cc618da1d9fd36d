// SPDX-License-Identifier: Apache-2.0
#include "engine/file_room.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "base/patience.h"
#include "base/size_text.h"
#include "device/remedy.h"
#include "engine/monitor.h"

namespace qlcshape {

namespace {

constexpr std::chrono::seconds kPatience(2);
constexpr std::uint64_t kStatBlock = 512;  // of st_blocks, on any file system

struct Seen {
    std::vector<Stats::FileSystem> systems;
    std::string largest;
    std::uint64_t largest_bytes = 0;
};

Seen look_at(const std::vector<DeviceOptions>& devices) {
    Seen seen;
    std::vector<dev_t> known;
    for (const DeviceOptions& d : devices) {
        struct stat file {};
        if (::stat(d.path.c_str(), &file) != 0 || !S_ISREG(file.st_mode)) continue;
        const auto at =
            static_cast<std::size_t>(std::ranges::find(known, file.st_dev) - known.begin());
        if (at == known.size()) {
            struct statvfs system {};
            // Some of FUSE don't tell.
            if (::statvfs(d.path.c_str(), &system) != 0 || system.f_blocks == 0) continue;
            known.push_back(file.st_dev);
            seen.systems.push_back({d.path, 0, std::uint64_t{system.f_bavail} * system.f_frsize});
        }
        const auto bytes = static_cast<std::uint64_t>(file.st_size);
        const std::uint64_t there = static_cast<std::uint64_t>(file.st_blocks) * kStatBlock;
        seen.systems[at].unallocated_bytes += bytes - std::min(bytes, there);
        if (bytes <= seen.largest_bytes) continue;
        seen.largest = d.path;
        seen.largest_bytes = bytes;
    }
    return seen;
}

Seen look_at_systems(const Options& options) {
    const auto seen =
        with_patience([devices = options.all_named()] { return look_at(devices); }, kPatience);
    return seen ? *seen : Seen{};
}

}  // namespace

std::vector<Stats::FileSystem> file_systems_of(const Options& options) {
    return look_at_systems(options).systems;
}

bool is_short(const Stats::FileSystem& system) {
    return system.unallocated_bytes > system.available_bytes;
}

std::string shortage(const Stats::FileSystem& system) {
    return fmt::format(
        "the drive files on the file system that holds {} may grow by {}, and it has {} left: "
        "writing ends when it is full; {}",
        system.path, size_text(system.unallocated_bytes), size_text(system.available_bytes),
        remedy_of(ENOSPC, system.path));
}

void log_shortages(const Options& options) {
    if (!options.log) return;
    const Seen seen = look_at_systems(options);
    for (const Stats::FileSystem& system : seen.systems) {
        if (is_short(system)) log(options, LogLevel::warning, "{}", shortage(system));
    }
    rlimit size{};
    if (::getrlimit(RLIMIT_FSIZE, &size) != 0 || size.rlim_cur >= seen.largest_bytes) return;
    log(options, LogLevel::warning,
        "this process may write only the first {} of a file, and {} has {}: writing ends at the "
        "first write beyond that; {}",
        size_text(std::uint64_t{size.rlim_cur}), seen.largest, size_text(seen.largest_bytes),
        remedy_of(EFBIG, seen.largest));
}

}  // namespace qlcshape
