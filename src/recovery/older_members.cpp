// SPDX-License-Identifier: Apache-2.0
#include "recovery/older_members.h"

#include <algorithm>
#include <set>

#include "base/buffer.h"
#include "base/canary.h"
#include "base/zeroes.h"
#include "format/segment_header.h"
#include "meta/remedies.h"

namespace qlcshape {

namespace {

// Headers looked at in each band. They are on as many drives (roles rotate), of which two may
// return something wrong or be missing: one of three is right.
constexpr std::uint32_t kHeaders = 3;
constexpr std::uint32_t kBandsAtOnce = 64;

// What a band's first headers say of its lives.
struct Lives {
    std::uint64_t newest = 0;  // sequence; 0: no header
    std::uint32_t read = 0;    // headers that could be read, whole or not
    bool this_one = false;     // a header of the life that the band table knows
    bool absent = false;       // one is erased, or of another life
};

class LivesReader {
  public:
    LivesReader(const ArrayContext& array, IoQueue& queue)
        : array_(array),
          l_(array.layout),
          queue_(queue),
          per_band_(std::min(kHeaders, l_.segments_per_band)),
          bytes_(l_.header_bytes()),
          memory_(std::size_t{kBandsAtOnce} * per_band_ * bytes_) {}

    // Of the bands [first, first + n).
    std::vector<Lives> read(std::uint32_t first, std::uint32_t n,
                            const std::vector<BandRecord>& records) {
        std::vector<Io> ios;
        for (std::uint32_t i = 0; i < n * per_band_; ++i)
            add(ios, BandId(first + i / per_band_), i % per_band_, i);
        static_cast<void>(run(queue_, ios));
        std::vector<Lives> lives(n);
        for (const Io& io : ios) {
            if (io.error_number != 0) continue;
            const std::uint32_t i = number_of(io);
            see(lives[i / per_band_], BandId(first + i / per_band_), i % per_band_, io.data,
                records[first + i / per_band_]);
        }
        return lives;
    }

    // Where the first headers leave a doubt: on how many drives the life that the band table knows
    // is erased, or is another one. Of more than two that doesn't come.
    std::size_t drives_without(BandId band, const BandRecord& record) {
        const std::uint32_t n = std::min({record.segments, l_.width(), kBandsAtOnce * per_band_});
        std::vector<Io> ios;
        for (std::uint32_t segment = 0; segment < n; ++segment) add(ios, band, segment, segment);
        static_cast<void>(run(queue_, ios));
        std::set<const Device*> without;
        for (const Io& io : ios) {
            if (io.error_number != 0) continue;
            Lives lives;
            see(lives, band, number_of(io), io.data, record);
            if (lives.absent) without.insert(io.device);
        }
        return without.size();
    }

  private:
    // Into the place of that number in memory_.
    void add(std::vector<Io>& ios, BandId band, std::uint32_t segment, std::uint32_t number) {
        const Io io = array_.segment_io(IoKind::read, band, segment, 0, bytes_,
                                        memory_.data() + number * bytes_);
        if (io.device != nullptr) ios.push_back(io);
    }

    std::uint32_t number_of(const Io& io) const {
        return static_cast<std::uint32_t>((io.data - memory_.data()) /
                                          static_cast<std::ptrdiff_t>(bytes_));
    }

    void see(Lives& lives, BandId band, std::uint32_t segment, std::byte* bytes,
             const BandRecord& record) const {
        ++lives.read;
        const SegmentHeader header(l_, bytes);
        if (!header.intact(array_.array, band, segment)) {
            lives.absent |= all_zero({bytes, bytes_});
            return;
        }
        const bool this_one = header.fixed().band_sequence == record.sequence;
        lives.newest = std::max(lives.newest, header.fixed().band_sequence);
        lives.this_one |= this_one;
        lives.absent |= !this_one;
    }

    const ArrayContext& array_;
    const ArrayLayout& l_;
    IoQueue& queue_;
    const std::uint32_t per_band_;
    const std::uint64_t bytes_;
    Buffer memory_;
};

// The refusal, with the evidence.
Error older_scm(const ArrayContext& array, const std::string& evidence) {
    std::string drives;
    for (const Device* scm : array.scm_in()) drives += (drives.empty() ? "" : ", ") + scm->path();
    return {Errc::stale_device,
            fmt::format("{}: {} older than the qlc drives: {}; what was written since would be "
                        "lost, so the array is not opened; restore the current contents of {}",
                        drives, array.scm_in_count() == 1 ? "it is" : "all scm drives are",
                        evidence, array.scm_in_count() == 1 ? "that drive" : "one of them")};
}

Error opened_again(const ArrayContext& array, std::uint32_t band, std::uint64_t sequence,
                   std::uint64_t known) {
    return older_scm(array, fmt::format("band {} was opened again (sequence {}) since their band "
                                        "table was written (sequence {})",
                                        band, sequence, known));
}

// Where bands share slots, one that was opened again may lie in any of them, also in those that an
// older band table gives to a band that was freed since.
Status refuse_newer_in_slots(const ArrayContext& array, const std::vector<BandRecord>& records,
                             IoQueue& queue) {
    const ArrayLayout& l = array.layout;
    const std::uint32_t per_slot = std::min(kHeaders, l.segments_per_band);
    const std::uint64_t bytes = l.header_bytes();
    const std::uint64_t slots = std::uint64_t{l.band_slots} * l.p.qlc_count;
    Buffer memory(std::size_t{kBandsAtOnce} * per_slot * bytes);
    for (std::uint64_t first = 0; first < slots; first += kBandsAtOnce) {
        const std::uint64_t n = std::min<std::uint64_t>(kBandsAtOnce, slots - first);
        std::vector<Io> ios;
        for (std::uint64_t i = 0; i < n * per_slot; ++i) {
            const std::uint64_t slot = first + i / per_slot;  // in turn on each drive
            Io io = array.probe_io(static_cast<std::uint32_t>(slot % l.p.qlc_count),
                                   memory.data() + i * bytes);
            io.offset =
                l.slot_offset(static_cast<std::uint32_t>(kSuperblockUnits + slot / l.p.qlc_count)) +
                i % per_slot * l.p.strip_bytes;
            io.bytes = bytes;
            if (io.device != nullptr) ios.push_back(io);
        }
        static_cast<void>(run(queue, ios));
        for (const Io& io : ios) {
            const SegmentHeader header(l, io.data);
            const std::uint32_t band = header.fixed().band;
            const auto segment =
                static_cast<std::uint32_t>(io.offset % l.p.band_bytes / l.p.strip_bytes);
            const bool intact = io.error_number == 0 && band < l.bands &&
                                header.intact(array.array, BandId(band), segment);
            const std::uint64_t sequence = header.fixed().band_sequence;
            if (intact && sequence > records[band].sequence)
                return fail(opened_again(array, band, sequence, records[band].sequence));
        }
    }
    return {};
}

}  // namespace

Status refuse_older_scm(const ArrayContext& array, const std::vector<BandRecord>& records,
                        std::uint64_t epoch, IoQueue& queue) {
    if (canary(Canary::older_scm_taken)) return {};
    const ArrayLayout& l = array.layout;
    LivesReader reader(array, queue);
    for (std::uint32_t first = 0; first < l.bands; first += kBandsAtOnce) {
        const std::uint32_t n = std::min(kBandsAtOnce, l.bands - first);
        const std::vector<Lives> lives = reader.read(first, n, records);
        for (std::uint32_t i = 0; i < n; ++i) {
            const BandRecord& r = records[first + i];
            if (lives[i].newest > r.sequence)
                return fail(opened_again(array, first + i, lives[i].newest, r.sequence));
            if (!r.counts() || r.epoch > epoch || r.segments < kHeaders) continue;
            // All three were read, and none is of this life: no two drives explain that. Nor does
            // it help that one of them went back together with the SCM drives.
            if ((lives[i].read == kHeaders && !lives[i].this_one) ||
                (lives[i].absent && reader.drives_without(BandId(first + i), r) > 2)) {
                return fail(older_scm(
                    array, fmt::format("band {} was erased since their band table was written",
                                       first + i)));
            }
        }
    }
    if (!array.columns->own_slots()) return refuse_newer_in_slots(array, records, queue);
    return {};
}

namespace {

constexpr std::uint32_t kOlderSegments = 4;

// The bands of a stream that count, in the order in which they were opened, newest first.
std::vector<BandId> bands_of(std::uint8_t stream, const std::vector<BandRecord>& records,
                             std::uint64_t epoch) {
    std::vector<BandId> bands;
    for (std::uint32_t i = 0; i < records.size(); ++i) {
        const BandRecord& r = records[i];
        const bool counts = r.counts() && r.epoch <= epoch && r.segments != 0;
        if (counts && r.stream == stream) bands.push_back(BandId(i));
    }
    std::ranges::sort(bands, std::ranges::greater{},
                      [&](BandId band) { return records[band.value].sequence; });
    return bands;
}

// What the newest segments of a stream say of each QLC drive, from the newest backwards over band
// boundaries. Only bands that have a column on it say anything of a drive:
//
//   newest  9  8  7  6  5 ...      in_a_row
//   drive A w  w  w  w  .          4: older, refused
//   drive B w  .  w  w  w          1: it has newer ones, so this is damage
//   drive C    w     w  w  w       4: bands 9 and 7 are on other drives
//
// A drive that can't read its strip is no older for that, so such a segment says nothing: the next
// one is asked in its place. Nor does a strip of zeroes: it is right on a drive that never got it.
class NewestSegments {
  public:
    NewestSegments(const ArrayContext& array, std::uint32_t most)
        : array_(array), most_(most), drives_(array.layout.p.qlc_count) {}

    // Whether a drive of this band has been asked too little.
    bool asks(BandId band) const {
        for (std::uint32_t role = 0; role < array_.layout.width(); ++role) {
            const Location place = array_.locate(band, 0, role);
            if (!place.there() || array_.drive_at(place) == nullptr) continue;
            const Drive& drive = drives_[place.drive];
            if (drive.told < most_ && drive.asked < 2 * most_) return true;
        }
        return false;
    }

    void note(BandId band, std::uint32_t segment, bool proved, const SegmentScan& scan) {
        for (std::uint32_t role = 0; role < array_.layout.width(); ++role) {
            const Location place = array_.locate(band, segment, role);
            if (!place.there()) continue;
            Drive& drive = drives_[place.drive];
            ++drive.asked;
            if (!scan.all_read()) continue;
            const bool in_row = drive.in_a_row + drive.says_nothing == drive.told++;
            if (!in_row) continue;
            const bool wrong = std::ranges::any_of(scan.wrong_strips(), [&](const Location& strip) {
                return strip.drive == place.drive;
            });
            if (wrong)
                ++drive.in_a_row;
            else if (proved && scan.holds_zeroes(role))
                ++drive.says_nothing;
        }
    }

    bool is_older(std::uint32_t drive) const { return drives_[drive].in_a_row >= kOlderSegments; }

  private:
    struct Drive {
        std::uint32_t asked = 0, told = 0, in_a_row = 0, says_nothing = 0;
    };
    const ArrayContext& array_;
    const std::uint32_t most_;
    std::vector<Drive> drives_;
};

}  // namespace

Result<std::map<std::uint32_t, std::uint32_t>> look_at_newest_segments(
    const ArrayContext& array, const std::vector<BandRecord>& records, std::uint64_t epoch,
    SegmentScan& scan, std::optional<std::uint32_t> only) {
    std::map<std::uint32_t, std::uint32_t> anew;  // by band: from that segment on
    if (canary(Canary::older_qlc_taken)) return anew;
    const ArrayParameters& p = array.layout.p;
    const std::uint32_t most =
        kOlderSegments + std::max(kRamSegments * p.max_shards, kGcTargets * p.max_gc_threads);
    // What the crash tore does not count any more, so what is wrong here was whole once. A drive
    // that lacks fewer than four went back by less than four segments; but what was in flight at
    // that moment it may lack, too, and `most` looks that much further.
    for (const std::uint8_t stream : {std::uint8_t{0}, std::uint8_t{1}}) {
        NewestSegments newest(array, most);
        for (const BandId band : bands_of(stream, records, epoch)) {
            const BandRecord& r = records[band.value];
            bool mendable = true;
            std::uint32_t segment = r.segments;
            while (segment != 0 && newest.asks(band)) {
                const Proof proof = scan.prove(band, r.sequence, --segment);
                const bool proved = proof == Proof::whole || proof == Proof::mendable;
                mendable &= proved;
                newest.note(band, segment, proved, scan);
                const bool here = std::ranges::any_of(scan.wrong_strips(), [&](const Location& l) {
                    return array.drive_at(l) != nullptr;
                });
                if (scan.all_read() && mendable && here && proof == Proof::mendable)
                    anew[band.value] = segment;
            }
        }
        for (std::uint32_t drive = 0; drive < p.qlc_count; ++drive) {
            const bool asked_for = array.qlc[drive] != nullptr && only.value_or(drive) == drive;
            if (!newest.is_older(drive) || !asked_for) continue;
            return fail(Errc::stale_device,
                        "{}: it is older than the other drives and lacks the newest segments; {}",
                        array.qlc[drive]->path(), kWithoutIt);
        }
    }
    return anew;
}

Status refuse_older_tps(const ArrayContext& array, const std::vector<std::uint64_t>& newest,
                        const std::map<std::uint32_t, std::uint64_t>& told) {
    if (canary(Canary::older_tps_taken)) return {};
    for (const auto& [shard, acked] : told) {
        if (shard >= newest.size() || acked <= newest[shard]) continue;
        return fail(older_scm(
            array,
            fmt::format("segments refer to record {} of shard {} in the TPS, which ends at {}",
                        acked, shard, newest[shard])));
    }
    return {};
}

bool room_to_commit(const ArrayLayout& l, const std::vector<BandRecord>& records,
                    std::size_t blocks) {
    const auto free = std::ranges::count_if(records, [](const BandRecord& r) {
        return r.state == BandState::free || r.state == BandState::erasing;
    });
    const std::uint64_t segments = 2 + div_up(blocks, std::uint64_t{l.slots_per_segment});
    return div_up(segments, std::uint64_t{l.segments_per_band}) + 2 + l.p.max_gc_threads <=
           static_cast<std::uint64_t>(free);
}

}  // namespace qlcshape
