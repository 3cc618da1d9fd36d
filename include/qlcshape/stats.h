// SPDX-License-Identifier: Apache-2.0
// The statistics of an array. Bytes and counters are over the array's life, as far as it was closed
// cleanly: a crash loses what was counted since the last clean close (never data). Latencies and
// rates count from this opening only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "qlcshape/api.h"

namespace qlcshape {

struct LatencySummary {  // microseconds, each within 4% of the true value
    double p50 = 0, p99 = 0, p999 = 0, max = 0;
    std::uint64_t count = 0;
};

struct DeviceStatus {
    std::string uuid;
    std::string path;         // of a missing one: the array file's, if that is unambiguous
    std::string role;         // "qlc", "scm"; "spare": it has no number
    std::uint32_t index = 0;  // drive number: 0, 1, ... of its role
    // "online", "draining" (what it has moves to other drives), "missing", "failed" (there, but it
    // can't be read), "out" (it took no writes any more, or did not answer, and the array, which
    // was open, went on without it), "removed" (its place is vacant); "spare"
    std::string state;
    // It is a member that is there and can be read.
    bool serves() const { return state == "online" || state == "draining"; }
    std::uint64_t errors = 0;  // transfers that failed since the array was opened
    std::string last_error;    // the last of them: offset, cause, remedy
    bool failing = false;      // the last few transfers all failed
    // Blocks of it that failed their checksum since the array was opened, and where the last began.
    std::uint64_t checksum_errors = 0, last_checksum_error_offset = 0;
    std::uint64_t capacity_bytes = 0;
    std::uint64_t written_bytes = 0;  // over the array's life; superblocks not counted
    std::uint64_t unused_bytes = 0;   // how much larger it is than the smallest drive of its role
    std::uint32_t bands = 0;  // of a qlc drive: those that have a strip of each stripe on it
};

struct VolumeInfo {
    std::string name;
    std::string uuid;
    std::uint64_t bytes = 0;
    // The block device that the program which has the array open offers it as:
    // Volume::set_device().
    std::string device;
};

struct Stats {
    std::uint32_t data_strips = 0;  // of a stripe, which has P and Q, too
    struct Space {
        std::uint64_t raw_bytes = 0;       // of all QLC drives, parity included
        std::uint64_t writable_bytes = 0;  // what volumes may be promised in all
        std::uint64_t promised_bytes = 0;  // what they have been promised
        std::uint64_t used_bytes = 0;      // blocks that are mapped
        std::uint64_t spare_bytes = 0;     // data slots outside the reserve, less writable_bytes
    } space;
    struct Bytes {
        std::uint64_t user_written = 0, user_read = 0, user_trimmed = 0;
        std::uint64_t tps_written = 0;  // on one mirror
        std::uint64_t qlc_data = 0;     // user blocks
        std::uint64_t qlc_gc = 0;       // blocks moved by GC
        std::uint64_t qlc_parity = 0, qlc_header = 0, qlc_padding = 0;
        std::uint64_t qlc_rebuild = 0;  // strips that were rebuilt in place
        std::uint64_t qlc_total() const {
            return qlc_data + qlc_gc + qlc_parity + qlc_header + qlc_padding + qlc_rebuild;
        }
        std::uint64_t pmt_written = 0, pmt_read = 0;
        std::uint64_t band_table_written = 0;  // on one mirror
    } bytes;
    double waf_data = 0;   // (user + GC data blocks) / user
    double waf_total = 0;  // all bytes to QLC / user
    struct Pmt {
        std::uint64_t hits = 0, misses = 0, write_backs = 0, snapshots = 0;
        // Of each page, on as many scm drives. With 2 one of two scm drives may be lost.
        std::uint32_t copies = 1;
    } pmt;
    struct Gc {
        std::uint64_t bands_moved = 0, blocks_moved = 0, races_lost = 0;
    } gc;
    struct Bands {
        std::uint32_t total = 0, free = 0, open = 0, closed = 0, reserve = 0;
        // Closed ones that GC can't move or erase, since the array was opened.
        std::uint32_t out_of_use = 0;
        // Closed bands by the share of their blocks that are valid: below 10%, below 20%, ..., to
        // 100%. Of an open array alone.
        std::array<std::uint32_t, 10> by_validity{};
    } bands;
    // Bands in use by how many QLC drives may be lost now without loss of what is in them. Fewer
    // than two: drives are missing, or were when the band was written. `lost`: some of it can't be
    // read before drives are back.
    struct Protection {
        std::uint32_t two = 0, one = 0, none = 0, lost = 0;
    } protection;
    // How far the QLC drives are worn. Full strips appended in order leave a drive nothing to move,
    // so a byte written counts as a byte programmed, and a capacity written as one cycle.
    struct Endurance {
        static constexpr double kRatedCycles = 1000;  // usual for QLC; see the drive's data sheet
        double open_seconds = 0;  // how long the array has been open for writing in its life
        double cycles_used = 0;   // of the drive written most, for its size
        double drive_writes_per_day = 0;  // over that time
        // Open, at that rate, until the rated cycles; 0: not known, since it was open for less than
        // kToldAfterSeconds in all.
        double days_left = 0;
        static constexpr double kToldAfterSeconds = 86400;
    } endurance;
    struct Recovery {
        std::string kind;  // "clean", "full"
        double seconds = 0;
        std::uint64_t segments_scanned = 0, tps_records = 0, blocks_replayed = 0,
                      segments_discarded = 0;
        // Of an array that is open read-only: so many bands were cut short since fewer than k of
        // their drives answered. Acknowledged writes may be missing: blocks read as before them.
        std::uint64_t segments_unread = 0;
    } recovery;
    struct Errors {
        std::uint64_t verify_failed = 0, reconstructed = 0, unreadable = 0, commit_retries = 0;
    } errors;
    // The scrub reads all that is in closed bands, and compares it with checksums: valid or not,
    // parity too. Bands with damage are rewritten by GC.
    struct Scrub {
        // "off"; "scheduled": so that a pass takes Options::scrub_days; "asked": by
        // Engine::start_scrub(), or by a command.
        std::string state = "off";
        // Of the pass that was asked for last, since the array was opened: "", "under way",
        // "ended", "stopped"; and its number.
        std::string asked;
        std::uint64_t passes_asked = 0;
        double percent = 0;           // of the present pass
        double bytes_per_second = 0;  // read, since that was asked for, or the array was opened
        double seconds_left = 0;      // of the present pass; 0: not known
        // In that pass, or since the array was opened: strips that were not what was written; and
        // those that were not read, of drives that are missing, out, or can't be read.
        std::uint64_t strips_wrong_now = 0, strips_left_out = 0;
        std::uint32_t bands_damaged = 0;  // that are not rewritten yet
        // In which something can't be rebuilt: they stay as they are. Since the array was opened.
        std::uint32_t bands_not_mended = 0;
        std::uint64_t strips_wrong = 0;  // over the array's life
        // Over the array's life. A pass goes once over all bands.
        std::uint64_t bands_passed = 0, bytes_read = 0;
        double passes = 0;
    } scrub;
    // A drive that is being replaced (Engine::replace()), or was out and comes back: then `from`
    // and `to` are the same.
    struct Replacement {
        std::string role;  // "qlc", "scm"; empty: none is
        std::uint32_t index = 0;
        std::string from, to;  // paths
        // Of the table's pages on an scm drive, which are written to the new one, too; of what is
        // erased on a qlc drive that comes back. A new qlc drive holds nothing at first, and there
        // is nothing to wait for.
        double percent = 0;
        double bytes_per_second = 0;
        double seconds_left = 0;  // 0: not known
    } replacement;
    // Bands in use that lack the strip of a drive that is there, since it was not when they were
    // written. They are rebuilt in place, or moved by GC if hardly anything in them is valid; those
    // in which something can't be read are not counted.
    struct Rebuild {
        std::uint32_t bands_left = 0;
        std::uint64_t bands_rebuilt = 0, bytes_read = 0;  // in place, over the array's life
        // Since the last such drive came, or the array was opened.
        double percent = 0;
        double bytes_per_second = 0;  // of bands that are whole now
        double seconds_left = 0;      // 0: not known
    } rebuild;
    struct Memory {  // bytes of DRAM, taken at open
        std::uint64_t pmt_cache = 0, segments = 0, overlay = 0, band_table = 0, requests = 0,
                      gc = 0;
        std::uint64_t total() const {
            return pmt_cache + segments + overlay + band_table + requests + gc;
        }
    } memory;
    struct Latency {
        LatencySummary read, write;
    } latency;
    // How transfers to files and block devices are made; of an open array alone.
    struct Io {
        // "io_uring", or "blocking" where a thread has none and makes one transfer at a time.
        std::string method;
        // What makes transfers slower than they could be, a sentence each: cause and remedy.
        std::vector<std::string> slow;
        // Why memory isn't registered with io_uring, which costs some CPU time; empty: it is.
        std::string unregistered;
    } io;
    // A file system that holds drive files. They are sparse: where they may grow by more than it
    // has left, writing ends when it is full. By Engine::inspect() alone.
    struct FileSystem {
        std::string path;                     // of a drive file on it
        std::uint64_t unallocated_bytes = 0;  // by which its drive files may grow
        std::uint64_t available_bytes = 0;    // what it has left for ordinary users
    };
    std::vector<FileSystem> file_systems;
    std::vector<DeviceStatus> devices;
    std::vector<VolumeInfo> volumes;
    std::string array_name, array_uuid;
    // The array's life cycle: "clean" (closed cleanly), "open", "crashed" (no process has it open,
    // and the next opening recovers it by `recovery.kind`), "failed" (open, but writing has ended).
    std::string state;
    std::string cause;   // of "failed": the drive, what failed and why
    std::string remedy;  // of "failed": what helps
    // Refuses writes: it was opened so.
    bool read_only = false;
    // The worst of "ok", "degraded" (something is missing, one more QLC drive may fail),
    // "unprotected" (the next failure may lose data), "failed" (it can't be opened, writing has
    // ended, or acknowledged writes may be missing), and what is wrong, a sentence each.
    std::string health = "ok";
    std::vector<std::string> health_reasons;
    std::uint64_t epoch = 0;
    bool live = false;  // as of now; otherwise as of the last superblock (see Engine::inspect())
    // `bytes`, `endurance` and other counters over the array's life lack what was counted between
    // a crash and the last snapshot before it.
    bool counters_incomplete = false;
};

// The same in the text format of Prometheus, for a scrape or for node_exporter's text files.
QLCSHAPE_API std::string to_prometheus(const Stats& stats);

// What check() found. A problem is one line: what, where.
struct CheckReport {
    std::uint64_t bands = 0, segments = 0, blocks = 0, stripes = 0, pmt_entries = 0;
    std::uint64_t problems_found = 0;
    std::vector<std::string> problems;  // the first 100
    bool clean_close = false;           // the table was compared with the headers only if so
    double seconds = 0;
};

}  // namespace qlcshape
