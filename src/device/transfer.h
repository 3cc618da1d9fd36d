// SPDX-License-Identifier: Apache-2.0
// A transfer: what a drive is to do, and what came of it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"

namespace qlcshape {

class Device;

enum class IoKind : std::uint8_t { read, write, flush, discard };

const char* to_string(IoKind kind);

// Why something is made persistent: each place that submits a write, flush or discard has a name.
// The simulator counts power cuts by it, and accepts none without.
enum class PersistencePoint : std::uint8_t {
    none,  // reads
    create,
    // under load
    tps_write,
    strip_write,
    strip_flush,
    gc_strip_write,
    gc_strip_flush,
    keeper_write,
    keeper_flush,
    keeper_discard,
    rebuild_discard,
    rebuild_write,
    rebuild_flush,
    pmt_write_back,
    snapshot_table_flush,
    snapshot_bits_write,
    snapshot_bits_flush,
    snapshot_write,
    snapshot_flush,
    // recovering, opening, closing
    open_flush,
    replay_strip_write,
    replay_strip_flush,
    table_build_write,
    table_build_flush,
    table_update_write,
    table_update_flush,
    table_bits_write,
    table_bits_flush,
    recovery_snapshot_write,
    recovery_snapshot_flush,
    band_table_write,
    band_table_flush,
    qlc_superblock_discard,
    qlc_superblock_write,
    qlc_superblock_flush,
    scm_superblock_discard,
    scm_superblock_write,
    scm_superblock_flush,
    resilver_write,
    count,
};

const char* to_string(PersistencePoint point);

struct Io {
    IoKind kind = IoKind::read;
    PersistencePoint point = PersistencePoint::none;
    Device* device = nullptr;
    std::uint64_t offset = 0;   // bytes, a multiple of the device's block
    std::uint64_t bytes = 0;    // a multiple of the device's block; 0 for a flush
    std::byte* data = nullptr;  // aligned to 4096; null for flush, discard and where there are
    std::span<const iovec>
        parts{};                  // of a write: what it gathers, in order; each aligned like data
    bool durable = false;         // of a write: when it is done, whatever cache the device has
    void (*done)(Io&) = nullptr;  // called from IoQueue::poll()
    void* context = nullptr;      // the caller's
    int error_number = 0;  // set before `done`: 0, or a positive errno (a short transfer is EIO)
    bool kept = false;     // set likewise: the drive may still use the memory
    std::uint64_t flush_number = 0;  // the queue's, of what empties the cache: see FlushLog

    // Whether the drive's cache has to do with it: a failure may have lost more than its own.
    bool empties_cache() const { return kind == IoKind::flush || durable; }

    // Of a write: calls `take` for each piece of memory in order.
    template <class Take>
    void for_each_part(Take take) const {
        if (parts.empty()) return take(data, bytes);
        for (const iovec& part : parts)
            take(static_cast<const std::byte*>(part.iov_base), std::uint64_t{part.iov_len});
    }
    Io* next = nullptr;  // for whoever holds the Io: the device, then the queue

    // The queue's while it is in flight: see InFlight.
    std::uint64_t begun = 0;   // by the IoClock
    std::uint64_t number = 0;  // in the order in which they began
    Io* older = nullptr;
    Io* newer = nullptr;
};

// The failure of a completed Io in words: device, offset, cause; and what helps. error_number is
// not 0.
std::string what_failed(const Io& io);
std::string remedy_of(const Io& io);
Error describe_failure(const Io& io);  // both

}  // namespace qlcshape
