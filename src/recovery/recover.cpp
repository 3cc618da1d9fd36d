// SPDX-License-Identifier: Apache-2.0
#include "recovery/recover.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/canary.h"
#include "journal/tps_scan.h"
#include "placement/failures.h"
#include "recovery/older_members.h"
#include "recovery/replay.h"
#include "recovery/segment_scan.h"
#include "recovery/table_count.h"
#include "recovery/table_update.h"
#include "recovery/tail_blocks.h"

namespace qlcshape {

namespace {

class Recovery {
  public:
    explicit Recovery(RecoveryInput& in)
        : in_(in),
          l_(in.array.layout),
          scan_(in.array, in.queue),
          begun_with_(in.superblock.next_version) {}

    Result<Recovered> after_clean_close() {
        const bool unfinished = void_unfinished_recovery();
        if (!in_.read_only) QS_TRY(in_.take_back());
        if (unfinished && !in_.read_only) QS_TRY(in_.reaffirm_epoch());
        if (!in_.read_only) close_those_of_other_drives();
        for (std::uint32_t i = 0; i < l_.bands; ++i)
            in_.bands.restore(BandId(i), in_.loaded.records[i]);
        if (!in_.read_only) {
            for (std::uint32_t i = 0; i < l_.bands; ++i) {
                if (in_.loaded.records[i].state == BandState::open) in_.bands.resume(BandId(i));
            }
        }
        in_.bands.set_next_sequence(in_.superblock.next_band_sequence);
        out_.report.kind = "clean";
        out_.next_version = in_.superblock.next_version;
        out_.used_blocks = in_.superblock.counters[static_cast<std::size_t>(Counter::used_blocks)];
        if (!in_.read_only) QS_TRY(in_.begin_epoch(out_.next_version));
        if (in_.bitmap_lost) QS_TRY(rebuild_table());
        return std::move(out_);
    }

    Result<Recovered> after_crash() {
        auto tps = scan_tps(in_.crashed, in_.queue);
        if (!tps) return fail(tps.error());
        tps_ = std::move(*tps);
        out_.report.tps_records = tps_.records;
        find_newest_in_tps();
        on_media_ = records();
        QS_TRY(refuse_older_scm(in_.array, on_media_, in_.superblock.epoch, in_.queue));
        const bool unfinished = void_unfinished_recovery();
        void_empty_bands();
        QS_TRY(decide_open_bands());
        QS_TRY(refuse_older_tps(in_.array, tps_.newest, acked_));
        if (!in_.read_only) QS_TRY(mend_newest_segments());
        if (!in_.read_only) QS_TRY(in_.take_back());
        // Also before bands are opened and erased without a drive.
        if ((unfinished || in_.members_changed) && !in_.read_only) QS_TRY(in_.reaffirm_epoch());
        QS_TRY(tail_.drop_committed(in_.array, records(), in_.snapshot ? in_.snapshot->epoch : 0,
                                    scan_));
        if (in_.read_only) {
            keep_in_memory();
        } else {
            QS_TRY(replay());
            // What was in flight replaces older blocks in the table. Were it still to be decided
            // then, a drive less in the next recovery might lose it, and those with it.
            if (!canary(Canary::decide_late)) QS_TRY(in_.begin_epoch(next_version()));
        }
        QS_TRY(bring_table_up_to_date());
        if (canary(Canary::decide_late) && !in_.read_only) QS_TRY(in_.begin_epoch(next_version()));
        out_.next_version = next_version();
        return std::move(out_);
    }

  private:
    std::uint64_t next_version() const {
        const std::uint64_t snapshot = in_.snapshot ? in_.snapshot->next_version : 0;
        const std::uint64_t seen = std::max(max_version_, tps_.max_version);
        return in_.version_gap + std::max({begun_with_, snapshot, seen + 1});
    }
    // Also above what the snapshot takes for old: it may be durable where the record of a band
    // opened before it is not.
    std::uint64_t next_band_sequence() const {
        const std::uint64_t snapshot = in_.snapshot ? in_.snapshot->next_band_sequence : 0;
        return std::max({next_sequence_, in_.superblock.next_band_sequence, snapshot});
    }
    std::vector<BandRecord>& records() { return in_.loaded.records; }

    void note(const char* what, double percent) const {
        if (in_.progress) in_.progress(what, percent);
    }

    // A recovery that was cut off wrote bands of an epoch that never began; all they hold is in the
    // TPS, or in segments beyond frontiers. Or it did begin, on a drive or two that could not be
    // read correctly this time: reaffirm_epoch makes sure that it never counts before they go.
    bool void_unfinished_recovery() {
        bool any = false;
        for (BandRecord& r : records()) {
            next_sequence_ = std::max(next_sequence_, r.sequence + 1);
            if (!r.counts() || r.epoch <= in_.superblock.epoch) continue;
            r.state = BandState::erasing;
            any = true;
        }
        return any;
    }

    // A few of the newest segments may lack a strip: they get their redundancy back by being
    // committed again, with all that came after them in their band. Where there is no room for that
    // they stay as they are: everything can be read, and the log says so.
    Status mend_newest_segments() {
        auto damaged = look_at_newest_segments(in_.array, records(), in_.superblock.epoch, scan_);
        if (!damaged) return fail(damaged.error());
        for (const auto& [band, from] : *damaged) {
            BandRecord& r = records()[band];
            const std::size_t blocks = newest_.size() + tps_.entries.size() + tail_.slots() +
                                       std::size_t{r.segments - from} * l_.slots_per_segment;
            if (!room_to_commit(l_, records(), blocks)) {
                out_.report.warnings.push_back(
                    fmt::format("band {}: some of segments {} to {} lack a strip, and there is no "
                                "room to rewrite them; if another drive is lost, some of their "
                                "blocks may be unreadable",
                                band, from, r.segments - 1));
                continue;
            }
            for (std::uint32_t segment = from; segment < r.segments; ++segment) {
                const Proof proof = scan_.prove(BandId(band), r.sequence, segment);
                if (proof != Proof::whole && proof != Proof::mendable) {
                    return fail(Errc::io_error,
                                "band {} segment {}: it was read successfully before, and can't be "
                                "read now: {}; open the array again",
                                band, segment, drive_failures(in_.array));
                }
                take_blocks();
            }
            r.segments = from;
        }
        return {};
    }

    // Open bands that name a drive which is missing, or that were opened while one was missing that
    // is back. What is in them was whole on all of their drives.
    void close_those_of_other_drives() {
        const DriveSet in = in_.array.drives_in();
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            BandRecord& r = records()[i];
            if (r.state != BandState::open) continue;
            const DriveSet named = in_.array.columns->drives(BandId(i));
            if ((named & ~in).any() || in_.array.is_narrow(BandId(i)))
                r.state = r.segments == 0 ? BandState::erasing : BandState::closed;
        }
    }

    // Writes failed there before a segment was whole. A recovery may need the space.
    void void_empty_bands() {
        for (BandRecord& r : records()) {
            if (r.state == BandState::closed && r.segments == 0) r.state = BandState::erasing;
        }
    }

    void restore_bands() {
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            const BandRecord& on_media = on_media_[i];
            const bool decided =
                records()[i].state == BandState::closed &&
                (on_media.state == BandState::open || on_media.segments != records()[i].segments);
            if (decided)
                in_.bands.restore_decided(BandId(i), records()[i], on_media);
            else
                in_.bands.restore(BandId(i), records()[i]);
        }
    }

    Status decide_open_bands() {
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            BandRecord& r = records()[i];
            if (r.state != BandState::open) continue;
            note("checking open bands", 100.0 * i / l_.bands);
            QS_TRY(decide_open_band(BandId(i), r));
        }
        return {};
    }

    Status decide_open_band(BandId band, BandRecord& r) {
        std::uint32_t frontier = r.segments;
        for (const BandFrontier& f : tps_.frontiers) {
            if (f.band == band.value && f.sequence == r.sequence)
                frontier = std::max(frontier, f.frontier);
        }
        std::uint32_t seen_end = 0;
        auto see = [&](std::uint32_t segment, const SegmentHeader* header) {
            ++out_.report.segments_scanned;
            if (header == nullptr) return;
            seen_end = segment + 1;
            frontier = std::max(frontier, header->fixed().frontier);
            max_version_ = std::max(max_version_, header->fixed().max_version);
            if (header->fixed().epoch == in_.crashed.epoch) {
                std::uint64_t& acked = acked_[header->fixed().shard];
                acked = std::max(acked, header->fixed().tps_acked);
            }
        };
        QS_TRY(scan_.headers(band, r.sequence, 0, l_.segments_per_band, see));
        // Below the frontier damage is damage; the table's rebuilding meets it. Beyond it a segment
        // counts if it is proved, and all before it in the band count. From the first on that lacks
        // strips they are committed again, with full redundancy, and void here (recover.h has a
        // picture). Read-only nothing is decided: those beyond are served from memory.
        if (canary(Canary::keep_unproved_tail)) frontier = std::max(frontier, seen_end);
        std::uint32_t kept = std::min(frontier, l_.segments_per_band);
        std::uint32_t proved = kept;
        for (; proved < l_.segments_per_band; ++proved) {
            const Proof proof = scan_.prove(band, r.sequence, proved);
            if (proof == Proof::unknown) return fail(scan_.unknown());
            if (proof == Proof::unread) QS_TRY(give_up(band, proved));
            if (proof == Proof::unproved || proof == Proof::unread) break;
            max_version_ = std::max(max_version_, scan_.header().fixed().max_version);
            const bool complete = proof == Proof::whole || canary(Canary::keep_damaged_tail);
            if (kept == proved && complete && !in_.read_only)
                ++kept;
            else
                take_blocks();
        }
        if (seen_end > proved) out_.report.segments_discarded += seen_end - proved;
        r.state = BandState::closed;
        r.segments = kept;
        return {};
    }

    // A segment that may be whole, and the only copy of writes that it acknowledged. Read-only
    // nothing is destroyed, so the rest may be read.
    Status give_up(BandId band, std::uint32_t segment) {
        ++out_.report.segments_unread;
        if (in_.read_only) return {};
        return fail(Errc::media_error,
                    "band {} segment {}: {} don't answer, and too few others have a part of it: "
                    "acknowledged writes may be there, so the array is not opened for writing; "
                    "reconnect the drives (until then it can be opened read-only)",
                    band.value, segment, scan_.silent_drives());
    }

    // To be committed again, or served from memory. Not where the TPS has a version as new.
    void take_blocks() {
        for (std::uint32_t slot = 0; slot < l_.slots_per_segment; ++slot) {
            const Entry e = scan_.header().entry(slot);
            const TpsEntry* in_tps = find_in_tps(e);
            if (in_tps != nullptr && in_tps->entry.version >= e.version) continue;
            tail_.take(e, scan_.block(slot));
        }
    }

    const TpsEntry* find_in_tps(const Entry& e) const {
        const auto it = newest_.find(e.lba.value);
        return e.kind == EntryKind::data && it != newest_.end() ? it->second : nullptr;
    }

    void find_newest_in_tps() {
        for (const TpsEntry& t : tps_.entries) {
            if (t.entry.kind != EntryKind::data) continue;
            const TpsEntry*& newest = newest_[t.entry.lba.value];
            if (newest == nullptr || newest->entry.version < t.entry.version) newest = &t;
        }
    }

    Status replay() {
        restore_bands();
        in_.bands.set_next_sequence(next_band_sequence());
        in_.gate.set_recovering(true);
        Replay replay(in_.array, in_.bands, in_.keeper, in_.queue, in_.counters);
        // In the order of LBAs, so that the same media always give the same segments.
        std::vector<const TpsEntry*> entries;
        for (const auto& [lba, entry] : newest_) entries.push_back(entry);
        std::sort(entries.begin(), entries.end(),
                  [](const TpsEntry* a, const TpsEntry* b) { return a->entry.lba < b->entry.lba; });
        for (const TpsEntry* t : entries) QS_TRY(replay.append(t->entry, t->data));
        for (const auto& [entry, block] : tail_.blocks) QS_TRY(replay.append(entry, block.data()));
        for (const Tombstone& trim : tail_.trims) QS_TRY(replay.append(trim));
        for (const TpsEntry& t : tps_.entries) {
            if (t.entry.kind != EntryKind::tombstones) continue;
            QS_TRY(replay.append(Tombstone{t.entry.lba, t.entry.crc, t.entry.version}));
        }
        QS_TRY(replay.finish());
        out_.report.blocks_replayed = replay.blocks();
        in_.gate.set_recovering(false);
        return {};
    }

    // Nothing can be committed, so what is to be is served from memory.
    void keep_in_memory() {
        restore_bands();
        for (const auto& [lba, t] : newest_)
            keep_in_memory(t->entry, std::vector<std::byte>(t->data, t->data + kBlockBytes));
        for (auto& [entry, block] : tail_.blocks) keep_in_memory(entry, std::move(block));
        for (const Tombstone& trim : tail_.trims) keep_in_memory(trim);
        for (const TpsEntry& t : tps_.entries) {
            if (t.entry.kind == EntryKind::tombstones)
                keep_in_memory(Tombstone{t.entry.lba, t.entry.crc, t.entry.version});
        }
    }

    void keep_in_memory(const Tombstone& trim) {
        for (std::uint32_t i = 0; i < trim.blocks; ++i)
            keep_in_memory({EntryKind::tombstones, Lba(trim.lba.value + i), trim.version, 0}, {});
    }

    // Of equal versions the first stays: what the TPS has is not lost, whatever GC met on the way.
    void keep_in_memory(const Entry& entry, std::vector<std::byte> block) {
        Version& version = memory_versions_[entry.lba.value];
        if (version >= entry.version) return;
        version = entry.version;
        out_.blocks[entry.lba.value] = {entry.kind, std::move(block)};
    }

    std::vector<BandRecord> present_bands() const {
        std::vector<BandRecord> present;
        for (std::uint32_t i = 0; i < l_.bands; ++i)
            present.push_back(in_.bands.record_of(BandId(i)));
        return present;
    }

    // From the newest snapshot, if there is one and the table can be trusted; or from all headers.
    Status bring_table_up_to_date() {
        const std::optional<Snapshot>& snapshot = in_.snapshot;
        if (snapshot && !snapshot->table_damaged && !in_.bitmap_lost) {
            const bool small = l_.pmt_pages <= in_.counted_pages;
            auto updated =
                update_table({in_.array, *snapshot, present_bands(), on_media_, memory_versions_,
                              !small && !in_.read_only, in_.read_only, in_.kept_findings, in_.team,
                              scan_, in_.bitmap, in_.queue, in_.progress});
            if (!updated) return fail(updated.error());
            if (!updated->impossible) {
                // Before anything in memory is forgotten for what this table has: one that is built
                // from headers may lack it.
                auto whole = small ? count(*updated) : Result<bool>(true);
                if (!whole) return fail(whole.error());
                QS_TRY(flush_table(PersistencePoint::table_update_flush));
                if (*whole) {
                    out_.report.kind = "snapshot";
                    for (const std::uint64_t lba : updated->superseded) out_.blocks.erase(lba);
                    out_.patches = std::move(updated->patches);
                    if (!out_.patches.empty()) out_.base = *snapshot;
                    take_counts(updated->totals, !small);
                    return {};
                }
            }
        }
        return rebuild_table();
    }

    Result<bool> count(TableUpdate& updated) {
        auto counted = count_table(
            {in_.array, in_.bitmap, updated.patches, !in_.read_only, in_.queue}, updated.totals);
        if (!counted) return fail(counted.error());
        if (counted->good && counted->damaged != 0) {
            out_.report.warnings.push_back(fmt::format(
                "{} pages of the table were damaged on one scm drive and read from "
                "another{}; the last of them on {}",
                counted->damaged, in_.read_only ? "" : ", and written again", counted->damaged_on));
        }
        return counted->good;
    }

    Status flush_table(PersistencePoint point) {
        return in_.read_only ? Status{} : flush_drives(in_.array.scm_written(), in_.queue, point);
    }

    Status rebuild_table() {
        out_.report.kind = "full";
        out_.patches.clear();
        out_.whole_table = in_.read_only;
        std::vector<Io> ios;
        Buffer blocks(kWrites * kBlockBytes);
        std::size_t used = 0;
        auto write_out = [&]() -> Status {
            QS_TRY(run(in_.queue, ios));
            ios.clear();
            used = 0;
            return {};
        };
        auto page = [&](PageId id, const PmtEntry* entries, const Version* versions) -> Status {
            if (in_.read_only) return keep_page(id, entries, versions);
            // One that was never written, and has nothing, needs no writing now.
            const bool empty = std::all_of(entries, entries + kPageEntries,
                                           [](PmtEntry e) { return e == PmtEntry{}; });
            if (empty && !in_.bitmap.written(id)) return {};
            in_.bitmap.set_written(id);
            std::byte* const block = blocks.data() + used * kBlockBytes;
            encode_pmt_page(entries, id, in_.array.array, 0, block);
            for (std::uint32_t copy = 0; copy < l_.p.pmt_copies; ++copy) {
                const Io io = in_.array.pmt_io(IoKind::write, id, copy, block,
                                               PersistencePoint::table_build_write);
                if (io.device != nullptr) ios.push_back(io);
            }
            return ++used == kWrites ? write_out() : Status{};
        };
        std::vector<SegmentRange> counting;
        const std::vector<BandRecord> present = present_bands();
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            const BandRecord& r = present[i];
            if (r.counts()) counting.push_back({BandId(i), r.sequence, 0, r.segments});
        }
        auto totals =
            build_table(in_.array, counting, in_.team, in_.memory_bytes, page, in_.progress);
        if (!totals) return fail(totals.error());
        QS_TRY(write_out());
        QS_TRY(flush_table(PersistencePoint::table_build_flush));
        take_counts(*totals, false);
        return {};
    }

    void take_counts(const TableTotals& totals, bool valid_is_estimate) {
        out_.report.segments_scanned += totals.scanned.segments;
        max_version_ = std::max(max_version_, totals.scanned.max_version);
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            in_.bands.set_counts(BandId(i), totals.valid[i], totals.tombstones[i],
                                 valid_is_estimate);
        }
        out_.used_blocks = totals.used_blocks;
    }

    // The table on SCM stays as it is: what headers say is served from memory.
    Status keep_page(PageId id, const PmtEntry* entries, const Version* versions) {
        forget_superseded(id, versions);
        const std::uint64_t most = std::max(kTableBuildBytes, in_.memory_bytes) / sizeof(Patch);
        for (std::uint32_t i = 0; i < kPageEntries; ++i) {
            const PmtEntry entry = entries[i];
            if (!entry.mapped() && entry.reason() != Unmapped::poisoned) continue;  // zeroes
            if (out_.patches.size() == most) return table_too_large();
            out_.patches.push_back({Lba(id.value * kPageEntries + i), entry});
        }
        return {};
    }

    std::unexpected<Error> table_too_large() const {
        std::uint64_t blocks = 0;
        for (std::uint32_t i = 0; i < l_.bands; ++i) {
            const BandRecord r = in_.bands.record_of(BandId(i));
            if (r.counts()) blocks += std::uint64_t{r.segments} * l_.slots_per_segment;
        }
        return fail(Errc::no_memory,
                    "the mapping table on the scm drives can't be used and is rebuilt from "
                    "headers; read-only it must fit in DRAM: set pmt_cache to {}MiB, or open the "
                    "array for writing, with all of its drives",
                    div_up(blocks * sizeof(Patch), MiB));
    }

    // What is on QLC already may be newer than what is still in the TPS.
    void forget_superseded(PageId id, const Version* versions) {
        if (out_.blocks.empty()) return;
        for (std::uint32_t i = 0; i < kPageEntries; ++i) {
            auto it = memory_versions_.find(id.value * kPageEntries + i);
            if (it != memory_versions_.end() && versions[i] >= it->second)
                out_.blocks.erase(it->first);
        }
    }

    static constexpr std::size_t kWrites = 256;
    RecoveryInput& in_;
    const ArrayLayout& l_;
    SegmentScan scan_;
    const std::uint64_t begun_with_;  // the newest superblock's next version
    Recovered out_;
    TpsContents tps_;
    std::vector<BandRecord> on_media_;
    std::unordered_map<std::uint64_t, const TpsEntry*> newest_;
    std::unordered_map<std::uint64_t, Version> memory_versions_;
    TailBlocks tail_;
    std::map<std::uint32_t, std::uint64_t> acked_;  // by shard, as segments tell
    std::uint64_t max_version_ = 0;
    std::uint64_t next_sequence_ = 1;
};

}  // namespace

Result<Recovered> recover(RecoveryInput& input) {
    Recovery recovery(input);
    return input.superblock.state == ArrayState::clean ? recovery.after_clean_close()
                                                       : recovery.after_crash();
}

}  // namespace qlcshape
