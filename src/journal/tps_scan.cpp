// SPDX-License-Identifier: Apache-2.0
#include "journal/tps_scan.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/canary.h"
#include "format/format_version.h"
#include "format/tps_record.h"

namespace qlcshape {

namespace {

using Candidates =
    std::map<std::uint64_t, std::vector<TpsRecord>>;  // by sequence: the mirrors' copies

constexpr std::uint64_t kChunk = 64 * KiB;

// A part that can't be read comes as zeroes, and is marked in `unread`: another mirror may have it.
// In chunks, so that one unreadable block does not take the whole ring with it.
Buffer read_ring(const ArrayContext& array, std::uint32_t shard, Device* scm, IoQueue& queue,
                 std::vector<std::uint32_t>& unread) {
    Buffer ring(array.layout.tps_ring_bytes(array.shards));
    std::vector<Io> ios;
    for (std::uint64_t at = 0; at < ring.size(); at += kChunk) {
        Io io;
        io.kind = IoKind::read;
        io.device = scm;
        io.offset = array.layout.tps_ring_offset(array.shards, shard) + at;
        io.bytes = std::min(kChunk, ring.size() - at);
        io.data = ring.data() + at;
        ios.push_back(io);
    }
    static_cast<void>(run(queue, ios));
    unread.resize(ios.size());
    for (std::size_t i = 0; i < ios.size(); ++i) {
        if (ios[i].error_number == 0) continue;
        ++unread[i];
        std::memset(ios[i].data, 0, ios[i].bytes);
    }
    return ring;
}

// A record starts at any block. The epoch's key, which no user can know, tells it from user data.
// One that only a newer program can read must not end the log: what it holds was acknowledged.
Status find_records(const ArrayContext& array, std::uint32_t shard, const Device& scm,
                    const Buffer& ring, Candidates& found) {
    for (std::uint64_t at = 0; at < ring.size(); at += kBlockBytes) {
        TpsRecord record(ring.span().subspan(at));
        if (!record.intact(array.array, array.epoch, array.epoch_key, shard, at)) continue;
        if (const std::string unknown = record.unknown(); !unknown.empty()) {
            return fail(newer_feature(
                fmt::format("{} at offset {}: record {} in the TPS of shard {}", scm.path(),
                            array.layout.tps_ring_offset(array.shards, shard) + at,
                            record.fixed().sequence, shard),
                unknown));
        }
        if (!record.valid(array.array, array.epoch, array.epoch_key, shard, at)) continue;
        if (!record.fits(array.layout)) continue;
        found[record.fixed().sequence].push_back(record);
    }
    return {};
}

void keep(TpsRecord& record, TpsContents& contents) {
    const auto* data = reinterpret_cast<const std::byte*>(&record.fixed()) + record.header_bytes();
    for (std::uint32_t i = 0; i < record.fixed().entries; ++i) {
        const Entry e = record.entry(i);
        if (e.kind == EntryKind::tombstones) {
            contents.entries.push_back({e, nullptr});
        } else {
            contents.entries.push_back({e, data});
            data += kBlockBytes;
        }
    }
    ++contents.records;
}

// Which records count. `x` whole, `h` only the header is, `-` nothing valid:
//
//   sequence   3   4   5   6   7   8   9
//   mirror A   x   x   -   x   h   x   -       6 names tail 4; 8 names acked_through 6
//   mirror B   -   h   x   h   x   -   -
//
// 3 is below the tail. From 4 on each counts that is whole somewhere: 4 of A, 5 of B, 6 of A, 7 of
// B, 8 of A. Were 7 whole nowhere it would end the log, and 8 would be void: acknowledgements are
// in order, so 8 was not acknowledged either. Were 6 whole nowhere it would be a loss, for 8 says
// that it was acknowledged: then the array is not opened, rather than opened with older data.
//
// Tail, acked_through and frontiers are taken from every valid header, also of records that don't
// count: what a header says was true before it was written.
Status take_shard(const ArrayContext& array, std::uint32_t shard, Candidates& found,
                  TpsContents& contents) {
    std::uint64_t acked = 0, tail = 1;
    for (auto& [sequence, copies] : found) {
        const TpsRecordFixed& f = copies.front().fixed();
        acked = std::max(acked, f.acked_through);
        tail = std::max(tail, f.tail);
        contents.frontiers.push_back({f.band, f.band_sequence, f.frontier});
        for (std::uint32_t i = 0; i < f.entries; ++i) {
            contents.max_version =
                std::max(contents.max_version, copies.front().entry(i).version.value);
        }
    }
    contents.newest.push_back(found.empty() ? 0 : found.rbegin()->first);
    for (std::uint64_t sequence = tail;; ++sequence) {
        auto it = found.find(sequence);
        TpsRecord* whole = nullptr;
        if (it != found.end()) {
            for (TpsRecord& copy : it->second) {
                if (whole == nullptr && copy.payload_whole()) whole = &copy;
            }
        }
        if (canary(Canary::drop_last_record) && it != found.end() && std::next(it) == found.end())
            return {};
        if (whole != nullptr) {
            keep(*whole, contents);
        } else if (sequence <= acked && !canary(Canary::gap_ends_tps)) {
            return fail(Errc::damaged,
                        "TPS of shard {}: record {} was acknowledged and is complete on none of {} "
                        "scm drives (first: {}): acknowledged writes would be lost, so the array "
                        "can't be opened",
                        shard, sequence, array.scm_in_count(), array.an_scm_drive().path());
        } else {
            return {};
        }
    }
}

}  // namespace

Result<TpsContents> scan_tps(const ArrayContext& array, IoQueue& queue) {
    TpsContents contents;
    for (std::uint32_t shard = 0; shard < array.shards; ++shard) {
        Candidates found;
        std::vector<std::uint32_t> unread;
        for (Device* scm : array.scm_in()) {
            contents.memory.push_back(read_ring(array, shard, scm, queue, unread));
            QS_TRY(find_records(array, shard, *scm, contents.memory.back(), found));
        }
        for (std::size_t i = 0; i < unread.size(); ++i) {
            if (unread[i] < array.scm_in_count()) continue;
            return fail(
                Errc::media_error,
                "{} at offset {}: the TPS of shard {} can't be read there, on any scm drive: "
                "it may hold acknowledged writes, so the array can't be opened",
                array.an_scm_drive().path(),
                array.layout.tps_ring_offset(array.shards, shard) + i * kChunk, shard);
        }
        QS_TRY(take_shard(array, shard, found, contents));
    }
    return contents;
}

}  // namespace qlcshape
