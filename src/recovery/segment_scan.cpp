// SPDX-License-Identifier: Apache-2.0
#include "recovery/segment_scan.h"

#include <algorithm>
#include <cstring>

#include "base/canary.h"
#include "base/crc32c.h"
#include "base/zeroes.h"
#include "format/format_version.h"
#include "placement/failures.h"
#include "raid6/parity.h"

namespace qlcshape {

void wait_until(IoQueue& queue, const std::function<bool()>& done) {
    while (!done()) {
        if (queue.poll() == 0) queue.wait(1000);
    }
}

SegmentScan::SegmentScan(const ArrayContext& array, IoQueue& queue)
    : array_(array),
      queue_(queue),
      rebuild_(array, queue),
      batch_(kBatch * array.layout.header_bytes()),
      stripe_(array.layout.p.strip_bytes * array.layout.width()),
      parity_(2 * array.layout.p.strip_bytes),
      block_(kBlockBytes),
      rebuilt_(array.layout, nullptr) {}

Status SegmentScan::headers(BandId band, std::uint64_t sequence, std::uint32_t from,
                            std::uint32_t to, const See& see) {
    const ArrayLayout& l = array_.layout;
    const std::uint64_t bytes = l.header_bytes();
    for (std::uint32_t start = from; start < to; start += kBatch) {
        const std::uint32_t n = std::min(kBatch, to - start);
        std::vector<Io> ios;
        for (std::uint32_t i = 0; i < n; ++i) {
            std::byte* header = batch_.data() + i * bytes;
            // Zeroes are no header. What the last batch left here might be one.
            std::memset(header, 0, bytes);
            const Io io = array_.segment_io(IoKind::read, band, start + i, 0, bytes, header);
            if (io.device != nullptr) ios.push_back(io);
        }
        // A header that can't be read is no header here; whoever needs it rebuilds it. One of an
        // older life of the band may be whole: a drive may keep old bytes through a discard.
        static_cast<void>(run(queue_, ios));
        for (std::uint32_t i = 0; i < n; ++i) {
            const SegmentHeader header(l, batch_.data() + i * bytes);
            if (auto unknown = unknown_in(header, band, sequence, start + i)) return fail(*unknown);
            const bool good = header.valid(array_.array, band, start + i) &&
                              header.fixed().band_sequence == sequence;
            see(start + i, good ? &header : nullptr);
        }
    }
    return {};
}

// A header of a newer program is not "none": what is no header may be discarded, or rebuilt.
std::optional<Error> SegmentScan::unknown_in(const SegmentHeader& header, BandId band,
                                             std::uint64_t sequence, std::uint32_t segment) const {
    if (!header.intact(array_.array, band, segment) || header.fixed().band_sequence != sequence)
        return {};
    const std::string what = header.unknown();
    if (what.empty()) return {};
    const Location at = array_.locate(band, segment, 0);
    const Device* drive = array_.drive_at(at);
    return newer_feature(
        fmt::format(
            "{}the header of band {} segment {}",
            drive == nullptr ? "" : fmt::format("{} at offset {}: ", drive->path(), at.offset),
            band.value, segment),
        what);
}

const SegmentHeader* SegmentScan::rebuilt_header(BandId band, std::uint64_t sequence,
                                                 std::uint32_t segment) {
    bool done = false, good = false;
    rebuild_.header_of(band, sequence, segment, [&](bool ok) {
        done = true;
        good = ok;
    });
    wait_until(queue_, [&] { return done; });
    rebuilt_ = rebuild_.header();
    unknown_ = good ? std::nullopt : unknown_in(rebuilt_, band, sequence, segment);
    return good ? &rebuilt_ : nullptr;
}

Error SegmentScan::lost(BandId band, std::uint32_t segment, const char* what,
                        const char* harm) const {
    if (unknown_) return *unknown_;
    if (!rebuild_.drives_away()) return damaged(band, segment, what, harm);
    return {Errc::io_error,
            fmt::format("band {} segment {}: {} can't be read, since more drives fail than parity "
                        "covers ({}); reconnect the drives, then open the array again",
                        band.value, segment, what, drive_failures(array_))};
}

Error SegmentScan::damaged(BandId band, std::uint32_t segment, const char* what, const char* harm) {
    return {Errc::damaged,
            fmt::format("band {} segment {}: {} is damaged and can't be rebuilt from the other "
                        "strips; {}",
                        band.value, segment, what, harm)};
}

bool SegmentScan::rebuild_block(const BlockIdentity& id) {
    bool done = false, good = false;
    rebuild_.block(id, [&](bool ok) {
        done = true;
        good = ok;
    });
    wait_until(queue_, [&] { return done; });
    return good;
}

// By role: what is on no drive, or could not be read. That is wrong even where zeroes belong, which
// is what such a strip has here.
std::vector<bool> SegmentScan::read_stripe(BandId band, std::uint32_t segment) {
    const ArrayLayout& l = array_.layout;
    std::vector<bool> wrong(l.width());
    ios_.clear();
    for (std::uint32_t role = 0; role < array_.layout.width(); ++role) {
        const std::uint64_t at = role * l.p.strip_bytes;
        std::byte* to = stripe_.data() + at;
        std::memset(to, 0, l.p.strip_bytes);
        const Io io = array_.segment_io(IoKind::read, band, segment, at, l.p.strip_bytes, to);
        wrong[role] = io.device == nullptr;
        if (io.device != nullptr) ios_.push_back(io);
    }
    static_cast<void>(run(queue_, ios_));  // `wrong` tells of each
    for (const Io& io : ios_) {
        const auto at = static_cast<std::uint64_t>(io.data - stripe_.data());
        if (io.error_number != 0 && !canary(Canary::unread_is_zeroes))
            wrong[at / l.p.strip_bytes] = true;
    }
    all_read_ = true;
    for (std::uint32_t role = 0; role < l.width(); ++role)
        all_read_ &= !wrong[role] || array_.drive_at(array_.locate(band, segment, role)) == nullptr;
    return wrong;
}

// One that can't read a strip alone does answer: strips that the power cut off may be unreadable
// for ever.
bool SegmentScan::enough_answer(BandId band) {
    const DriveSet named = array_.columns->drives(band);
    silent_drives_.clear();
    for (std::uint32_t drive = 0; drive < array_.qlc.size(); ++drive) {
        if (!named[drive]) continue;
        const Io io = array_.probe_io(drive, block_.data());
        if (io.device == nullptr || !run(queue_, io)) silent_drives_.push_back(drive);
    }
    return named.count() - silent_drives_.size() >= array_.layout.p.data_strips;
}

std::string SegmentScan::silent_drives() const {
    std::string names;
    for (const std::uint32_t drive : silent_drives_) {
        const Device* d = array_.qlc[drive];
        names += (names.empty() ? "" : ", ") +
                 (d == nullptr ? fmt::format("drive {}", drive) : d->path());
    }
    return names;
}

// A failure is tried again: drives that fell silent on the way may be back.
Proof SegmentScan::prove(BandId band, std::uint64_t sequence, std::uint32_t segment) {
    Proof outcome = attempt(band, sequence, segment);
    for (int tries = 0; tries < 2 && outcome == Proof::unproved; ++tries) {
        if (!enough_answer(band)) return Proof::unread;
        if (tries == 0) outcome = attempt(band, sequence, segment);
    }
    return outcome;
}

// In the order of trust: the header proves itself, its checksums prove the blocks, and blocks that
// are right prove P and Q. Whatever is wrong is made right in memory; `mendable` says that it isn't
// on the drives.
Proof SegmentScan::attempt(BandId band, std::uint64_t sequence, std::uint32_t segment) {
    const ArrayLayout& l = array_.layout;
    wrong_strips_.clear();
    std::vector<bool> wrong = read_stripe(band, segment);
    SegmentHeader h = header();
    if (!h.valid(array_.array, band, segment) || h.fixed().band_sequence != sequence) {
        const SegmentHeader* other = rebuilt_header(band, sequence, segment);
        if (other == nullptr) return unknown_ ? Proof::unknown : Proof::unproved;
        std::memcpy(stripe_.data(), other->bytes().data(), other->bytes().size());
        wrong[0] = true;
    }
    const std::uint32_t strip_blocks = l.strip_blocks();
    bool any_wrong = false;
    for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
        if (crc32c({block(slot), kBlockBytes}) == h.entry(slot).crc) continue;
        wrong[(l.header_blocks + slot) / strip_blocks] = any_wrong = true;
    }
    if (any_wrong && !mend(band, sequence, segment)) {
        name_wrong_strips(band, segment, wrong);
        return Proof::unproved;
    }
    // Now the data is right: P and Q must be what it gives. Compared with all bytes, not with the
    // checksums in the header, which leave out the part that covers the header.
    std::byte* strips[kMaxDataStrips + 2];
    for (std::uint32_t r = 0; r < l.p.data_strips; ++r)
        strips[r] = stripe_.data() + r * l.p.strip_bytes;
    strips[l.p.data_strips] = parity_.data();
    strips[l.p.data_strips + 1] = parity_.data() + l.p.strip_bytes;
    compute_parity({strips, array_.layout.width()}, l.p.strip_bytes);
    for (std::uint32_t i = 0; i < 2; ++i) {
        const std::byte* read = stripe_.data() + (l.p.data_strips + i) * l.p.strip_bytes;
        if (std::memcmp(read, parity_.data() + i * l.p.strip_bytes, l.p.strip_bytes) != 0) {
            wrong[l.p.data_strips + i] = true;
        }
    }
    name_wrong_strips(band, segment, wrong);
    return wrong_strips_.empty() ? Proof::whole : Proof::mendable;
}

void SegmentScan::name_wrong_strips(BandId band, std::uint32_t segment,
                                    const std::vector<bool>& wrong) {
    for (std::uint32_t r = 0; r < array_.layout.width(); ++r) {
        const Location place = array_.locate(band, segment, r);
        if (wrong[r] && place.there()) wrong_strips_.push_back(place);
    }
}

bool SegmentScan::holds_zeroes(std::uint32_t role) const {
    const ArrayParameters& p = array_.layout.p;
    const std::byte* right = role < p.data_strips
                                 ? stripe_.data() + role * p.strip_bytes
                                 : parity_.data() + (role - p.data_strips) * p.strip_bytes;
    return all_zero({right, p.strip_bytes});
}

// Rebuilds every block that is wrong, into the stripe in memory. Block by block, for a torn segment
// may lack other strips at each offset. Slots that hold nothing are zeroes by definition.
bool SegmentScan::mend(BandId band, std::uint64_t sequence, std::uint32_t segment) {
    const ArrayLayout& l = array_.layout;
    SegmentHeader h = header();
    for (std::uint32_t slot = 0; slot < l.slots_per_segment; ++slot) {
        const Entry e = h.entry(slot);
        auto* to = const_cast<std::byte*>(block(slot));
        if (crc32c({to, kBlockBytes}) == e.crc) continue;
        if (e.kind == EntryKind::empty || e.kind == EntryKind::poisoned) {
            std::memset(to, 0, kBlockBytes);
        } else {
            if (!rebuild_block({band, sequence, segment, slot, e.lba})) return false;
            std::memcpy(to, rebuild_.result(), kBlockBytes);
        }
    }
    return true;
}

const std::byte* SegmentScan::read_block(BandId band, std::uint64_t sequence, std::uint32_t segment,
                                         std::uint32_t slot, const Entry& entry) {
    const Io io = array_.segment_io(IoKind::read, band, segment, array_.layout.slot_byte(slot),
                                    kBlockBytes, block_.data());
    if (io.device != nullptr && run(queue_, io) &&
        crc32c({block_.data(), kBlockBytes}) == entry.crc) {
        return block_.data();
    }
    return rebuild_block({band, sequence, segment, slot, entry.lba}) ? rebuild_.result() : nullptr;
}

}  // namespace qlcshape
