// SPDX-License-Identifier: Apache-2.0
// What an engine is opened with: the array file's contents as a struct.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "qlcshape/error.h"

namespace qlcshape {

enum class Role { qlc, scm };

struct DeviceOptions {
    Role role = Role::qlc;
    std::string path;  // regular file, block device, or "memory:NAME"
    std::uint64_t size_bytes =
        0;                // files and memory: created sparse at this size by create(); 0: as it is
    std::string where{};  // "array.toml:12", for messages
};

// Called from time to time during long operations (create, recovery, check) with what is being done
// and its progress in percent (0 to 100), on the thread that called the operation.
using Progress = std::function<void(const std::string& what, double percent)>;

// Events of an open array, for a log: opened and recovered, volumes created and deleted, drives
// that fail, blocks that were damaged, closed. Called from the thread that opens, closes or changes
// volumes, from a monitor thread, and from one that frees the space of deleted volumes, possibly
// from several at once; never from a thread that serves requests.
enum class LogLevel { info, warning, error };
using Log = std::function<void(LogLevel level, const std::string& message)>;

struct Options {
    // [array]: used by create(); open() ignores these and reads them from the superblocks.
    std::string name = "array";
    std::uint32_t data_strips = 8;          // k, 2 to 32; there are at least k + 2 qlc devices
    std::uint64_t strip_bytes = 128 << 10;  // a power of two, 16 KiB to 4 MiB
    std::uint64_t band_bytes = 0;  // of one band on one drive; 0: 128 MiB, or less on small drives
    double overprovision = 0.20;   // 0.02 to 0.9
    // Of each page of the mapping table, on as many scm drives. With 2 the array goes on without an
    // scm drive that is lost. 0: 2 where there are two scm drives or more and they have room.
    std::uint32_t pmt_copies = 0;  // 0, 1 or 2
    // Room of as many qlc devices is kept free, spread over all of them: what a lost one had is
    // rebuilt there. At most as many as there are more than k + 2; by default one of those, if any.
    std::optional<std::uint32_t> spare_drives;

    // [engine]
    std::uint32_t shards = 1;          // data-plane threads, 1 to what create() was given
    std::vector<std::uint32_t> cores;  // where shard i is pinned; empty: nowhere
    std::uint32_t gc_threads = 1;
    std::uint64_t pmt_cache_bytes = 64 << 20;  // DRAM for the page cache, at least one set a shard
    // How long a drive may keep a transfer, 1000 to 3600000. After that it is given up, and gets no
    // more of them: an array goes on without it as without one that fails, and so does an opening.
    // Time during which the process is stopped does not count. What was given up keeps its memory,
    // and the lock on the drive, until the drive ends it. A thread that is held inside the kernel,
    // by a call that doesn't end, can't be freed: then an open array stops, every request ends with
    // io_error, and close() returns one, too.
    std::uint32_t io_timeout_ms = 30'000;
    // In so many days of being open the scrub reads all that is in closed bands, and compares it
    // with checksums and parity; 0: only when it is asked to. At most 3650.
    std::uint32_t scrub_days = 14;
    // How long a drive may be missing or out before a spare takes its place, 1000 to 3600000. One
    // that was taken out by Engine::fail_device() is replaced at once.
    std::uint32_t spare_after_ms = 300'000;
    // While the array is open this file is rewritten each second with to_prometheus() of its
    // statistics. Removed when the array is closed. Empty: none.
    std::string metrics_path;
    // A command that /bin/sh runs when something happens that an operator wants to know: a drive is
    // lost or replaced, a rebuild has ended, damage was found, writing has ended. Its environment
    // says what: QLCSHAPE_EVENT, QLCSHAPE_ARRAY, QLCSHAPE_DEVICE, QLCSHAPE_MESSAGE. Empty: none.
    std::string on_event;

    std::vector<DeviceOptions> devices;
    // Drives that hold nothing; `role` is not used. One that has taken a drive's place is a member
    // of the array, also where it is still named here; the drive that it replaced is passed over.
    std::vector<DeviceOptions> spares;
    // The devices, then the spares.
    std::vector<DeviceOptions> all_named() const {
        std::vector<DeviceOptions> all = devices;
        all.insert(all.end(), spares.begin(), spares.end());
        return all;
    }

    // Read-only: nothing is written to any drive, also after a crash, and no write permission is
    // needed. Several processes may have the array open like this, while none has it open for
    // writing. After a crash what is not yet in place is served from DRAM.
    bool read_only = false;

    Progress progress;  // may be empty
    Log log;            // may be empty

    // Reads an array file (TOML). Relative paths become relative to the file's folder. The error
    // names the key or the line.
    QLCSHAPE_API static Result<Options> from_file(const std::string& path);

    // The same array on memory devices of the same sizes (for benchmarks).
    QLCSHAPE_API Options on_memory(const std::string& prefix) const;
};

// "128KiB", "2GiB", "4096" -> bytes.
QLCSHAPE_API Result<std::uint64_t> parse_size(const std::string& text);

}  // namespace qlcshape
