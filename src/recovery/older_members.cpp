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
            if (lives[i].newest > r.sequence) {
                return fail(older_scm(
                    array, fmt::format("band {} was opened again (sequence {}) since their band "
                                       "table was written (sequence {})",
                                       first + i, lives[i].newest, r.sequence)));
            }
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

}  // namespace

Result<std::map<std::uint32_t, std::uint32_t>> look_at_newest_segments(
    const ArrayContext& array, const std::vector<BandRecord>& records, std::uint64_t epoch,
    SegmentScan& scan, std::optional<std::uint32_t> only) {
    std::map<std::uint32_t, std::uint32_t> anew;  // by band: from that segment on
    if (canary(Canary::older_qlc_taken)) return anew;
    const ArrayParameters& p = array.layout.p;
    const std::uint32_t most =
        kOlderSegments + std::max(kRamSegments * p.max_shards, kGcTargets * p.max_gc_threads);
    // From the newest segment backwards, over band boundaries, for each stream:
    //
    //   newest  9  8  7  6  5 ...      in_a_row[drive]
    //   drive A w  w  w  w  .          4: older, refused
    //   drive B w  .  w  w  w          1: it has newer ones, so this is damage
    //
    // What the crash tore does not count any more, so what is wrong here was whole once. A drive
    // that lacks fewer than four went back by less than four segments; but what was in flight at
    // that moment it may lack, too, and `most` looks that much further.
    for (const std::uint8_t stream : {std::uint8_t{0}, std::uint8_t{1}}) {
        std::vector<std::uint32_t> in_a_row(p.qlc_count), says_nothing(p.qlc_count);
        // A drive that can't read its strip is no older for that, so such a segment says nothing:
        // the next one is asked in its place. Nor does a strip of zeroes: it is right on a drive
        // that never got it.
        std::uint32_t asked = 0, told = 0;
        const auto in_row = [&](std::uint32_t drive) {
            return in_a_row[drive] + says_nothing[drive] == told;
        };
        for (const BandId band : bands_of(stream, records, epoch)) {
            const BandRecord& r = records[band.value];
            bool mendable = true;
            std::uint32_t segment = r.segments;
            for (; segment != 0 && told < most && asked < 2 * most; ++asked) {
                const Proof proof = scan.prove(band, r.sequence, --segment);
                const bool proved = proof == Proof::whole || proof == Proof::mendable;
                mendable &= proved;
                if (!scan.all_read()) continue;
                for (const auto& [drive, offset] : scan.wrong_strips())
                    in_a_row[drive] += in_row(drive) ? 1 : 0;
                for (std::uint32_t role = 0; proved && role < array.layout.width(); ++role) {
                    if (!scan.holds_zeroes(role)) continue;
                    const Location place = array.locate(band, segment, role);
                    if (!place.there()) continue;
                    says_nothing[place.drive] += in_row(place.drive) ? 1 : 0;
                }
                ++told;
                const bool here = std::ranges::any_of(scan.wrong_strips(), [&](const Location& l) {
                    return array.drive_at(l) != nullptr;
                });
                if (mendable && here && proof == Proof::mendable) anew[band.value] = segment;
            }
        }
        for (std::uint32_t drive = 0; drive < p.qlc_count; ++drive) {
            const bool asked_for = array.qlc[drive] != nullptr && only.value_or(drive) == drive;
            if (in_a_row[drive] < kOlderSegments || !asked_for) continue;
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
