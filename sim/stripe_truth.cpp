// SPDX-License-Identifier: Apache-2.0
#include "sim/stripe_truth.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/crc32c.h"
#include "format/band_page.h"
#include "format/segment_header.h"
#include "format/superblock.h"
#include "sim/tps_truth.h"

namespace qlcshape::sim {

namespace {

// One segment, block by block.
class Stripe {
  public:
    Stripe(const ArrayContext& array, const std::vector<Media*>& qlc, const BandTruth& band,
           std::uint32_t segment)
        : array_(array), l_(array.layout), band_(band), segment_(segment), wrong_(l_.width()) {
        for (std::uint32_t role = 0; role < l_.width(); ++role) {
            const Location place = array.locate(band.band, segment, role);
            strips_.push_back({place.there() ? qlc[place.drive] : nullptr, place.offset});
        }
    }

    SegmentTruth judge() {
        if (!find_header()) return {true, {}};
        for (std::uint32_t row = 0; row < l_.strip_blocks(); ++row) {
            if (!judge_row(row)) return {true, {}};
        }
        SegmentTruth truth;
        for (std::uint32_t role = 0; role < l_.width(); ++role) {
            if (wrong_[role] && strips_[role].media != nullptr) truth.wrong.push_back(role);
        }
        return truth;
    }

    bool is_header(std::byte* bytes) const {
        const SegmentHeader header(l_, bytes);
        return header.valid(array_.array, band_.band, segment_) &&
               header.fixed().band_sequence == band_.sequence;
    }
    // As it is read; null where it can't be.
    const std::byte* block(std::uint32_t role, std::uint32_t row) const {
        const Strip& s = strips_[role];
        const std::uint64_t offset = s.offset + row * kBlockBytes;
        if (s.media == nullptr || s.media->unreadable(offset, kBlockBytes)) return nullptr;
        return s.media->bytes.get() + offset;
    }
    SegmentHeader header() { return SegmentHeader(l_, header_.data()); }

    // As it is read, or what it must have been: with another block that is wrong or none.
    bool read_header() {
        header_.assign(l_.header_bytes(), std::byte{0});
        for (std::uint32_t row = 0; row < l_.header_blocks; ++row) {
            const std::byte* read = block(0, row);
            if (read == nullptr) return false;
            std::memcpy(header_.data() + row * kBlockBytes, read, kBlockBytes);
        }
        return is_header(header_.data());
    }

  private:
    struct Strip {
        const Media* media;
        std::uint64_t offset;
    };

    bool find_header() {
        if (read_header()) return true;
        wrong_[0] = true;
        for (std::uint32_t other = 1; other < l_.width(); ++other) {
            bool known = true;
            for (std::uint32_t row = 0; row < l_.header_blocks; ++row)
                known = known && solve_header_row(row, other);
            if (known && is_header(header_.data())) return true;
        }
        return false;
    }

    // Without the strips 0 and `other`.
    bool solve_header_row(std::uint32_t row, std::uint32_t other) {
        const std::uint32_t k = l_.p.data_strips;
        std::vector<const std::byte*> data(k);
        for (std::uint32_t role = 1; role < l_.width(); ++role) {
            const std::byte* read = block(role, row);
            if (role != other && read == nullptr) return false;
            if (role != other && role < k) data[role] = read;
        }
        BlockBytes p, q, solved, second;
        parity_of(data, p, q);
        if (other == k)
            solve_by_q(block(k + 1, row), q, 0, solved);
        else if (other == k + 1)
            solve_by_p(block(k, row), p, solved);
        else
            solve_two(block(k, row), block(k + 1, row), p, q, 0, other, solved, second);
        std::memcpy(header_.data() + row * kBlockBytes, solved.data(), kBlockBytes);
        return true;
    }

    // Whether the block is what the header's checksum says. The header is its own.
    bool is_right(std::uint32_t role, std::uint32_t row, const std::byte* bytes) {
        const std::uint32_t i = role * l_.strip_blocks() + row;
        if (i < l_.header_blocks)
            return std::memcmp(bytes, header_.data() + i * kBlockBytes, kBlockBytes) == 0;
        return crc32c({bytes, kBlockBytes}) == header().entry(i - l_.header_blocks).crc;
    }
    // Of padding and of blocks that were lost before: it is zeroes by definition.
    bool holds_nothing(std::uint32_t role, std::uint32_t row) {
        const std::uint32_t i = role * l_.strip_blocks() + row;
        if (i < l_.header_blocks) return false;
        const EntryKind kind = header().entry(i - l_.header_blocks).kind;
        return kind == EntryKind::empty || kind == EntryKind::poisoned;
    }

    // False if the row's data can't be had.
    bool judge_row(std::uint32_t row) {
        const std::uint32_t k = l_.p.data_strips;
        std::vector<const std::byte*> data(k);
        std::vector<std::uint32_t> unknown;
        bool all_nothing = true;
        for (std::uint32_t role = 0; role < k; ++role) {
            const std::byte* read = block(role, row);
            if (role == 0 && row < l_.header_blocks) {
                data[role] = header_.data() + row * kBlockBytes;
            } else if (read != nullptr && is_right(role, row, read)) {
                data[role] = read;
            } else {
                unknown.push_back(role);
                wrong_[role] = true;
                all_nothing = all_nothing && holds_nothing(role, row);
            }
        }
        BlockBytes p, q, solved[2];
        parity_of(data, p, q);
        if (!all_nothing) {
            if (!solve(row, unknown, p, q, solved)) return false;
            for (std::size_t i = 0; i < unknown.size(); ++i) data[unknown[i]] = solved[i].data();
            parity_of(data, p, q);
        }
        const auto differs = [&](std::uint32_t role, const BlockBytes& computed) {
            const std::byte* read = block(role, row);
            return read == nullptr || std::memcmp(read, computed.data(), kBlockBytes) != 0;
        };
        if (differs(k, p)) wrong_[k] = true;
        if (differs(k + 1, q)) wrong_[k + 1] = true;
        return true;
    }

    // The unknown data blocks of a row, from the others and parity as read, proved.
    bool solve(std::uint32_t row, const std::vector<std::uint32_t>& unknown, const BlockBytes& p,
               const BlockBytes& q, BlockBytes (&solved)[2]) {
        const std::uint32_t k = l_.p.data_strips;
        const std::byte* const read_p = block(k, row);
        const std::byte* const read_q = block(k + 1, row);
        if (unknown.size() == 2 && read_p != nullptr && read_q != nullptr) {
            solve_two(read_p, read_q, p, q, unknown[0], unknown[1], solved[0], solved[1]);
            return is_right(unknown[0], row, solved[0].data()) &&
                   is_right(unknown[1], row, solved[1].data());
        }
        if (unknown.size() != 1) return false;
        if (read_p != nullptr) {
            solve_by_p(read_p, p, solved[0]);
            if (is_right(unknown[0], row, solved[0].data())) return true;
        }
        if (read_q == nullptr) return false;
        solve_by_q(read_q, q, unknown[0], solved[0]);
        return is_right(unknown[0], row, solved[0].data());
    }

    const ArrayContext& array_;
    const ArrayLayout& l_;
    const BandTruth& band_;
    const std::uint32_t segment_;
    std::vector<Strip> strips_;
    std::vector<std::byte> header_;
    std::vector<bool> wrong_;
};

}  // namespace

StripeTruth::StripeTruth(const ArrayLayout& layout, const std::vector<Media*>& media)
    : l_(layout), array_(layout) {
    for (Media* m : media) (m->qlc ? qlc_ : scm_).push_back(m);
    find_superblock();
}

void StripeTruth::find_superblock() {
    std::multimap<std::uint64_t, const std::byte*, std::greater<>> found;  // by generation
    for (const auto* drives : {&qlc_, &scm_}) {
        for (const Media* m : *drives) {
            const std::uint64_t unit =
                m->qlc ? l_.qlc_superblock_unit_bytes : l_.scm_superblock_unit_bytes;
            for (std::uint64_t at = 0; at < 2 * unit; at += kBlockBytes) {
                const std::byte* bytes = m->bytes.get() + at;
                const auto peek = peek_superblock({bytes, kBlockBytes});
                if (peek) found.emplace(peek->generation, bytes);
            }
        }
    }
    for (const auto& [generation, bytes] : found) {
        Uuid device;
        const auto s = decode_superblock({bytes, l_.superblock_record_bytes}, &device);
        if (!s) continue;
        array_.array = s->array;
        array_.epoch_key = s->epoch_key;
        array_.shards = s->shards;
        epoch_ = array_.epoch = s->epoch;
        generation_ = generation;
        for (const MemberRecord& m : s->members) {
            if (m.role == DeviceRole::scm && m.state == MemberState::out) scm_out_.insert(m.index);
        }
        return;
    }
}

// Of each page of the band table the newest whole copy.
std::vector<BandTruth> StripeTruth::bands() const {
    std::vector<BandTruth> bands;
    for (std::uint64_t page = 0; page < l_.band_table_pages; ++page) {
        std::optional<BandPage> newest;
        for (const Media* m : scm_) {
            for (std::uint32_t copy = 0; copy < 2; ++copy) {
                const std::uint64_t offset = l_.band_page_offset(page, copy);
                BandPage seen(l_, m->bytes.get() + offset);
                if (m->unreadable(offset, kBlockBytes) || !seen.valid(array_.array, page)) continue;
                if (!newest || newest->header().generation < seen.header().generation)
                    newest = seen;
            }
        }
        for (std::uint32_t i = 0; newest && i < l_.bands_per_page(); ++i) {
            const BandRecord& r = newest->record(i);
            const BandId band(static_cast<std::uint32_t>(page * l_.bands_per_page() + i));
            if (band.value >= l_.bands || !r.counts()) continue;
            bands.push_back(
                {band, r.sequence, r.epoch, r.state == BandState::open, r.segments, r.segments});
            array_.columns->set_rotation(band, r.rotation);
            for (std::uint32_t c = 0; c < l_.width(); ++c)
                array_.columns->set(band, c, newest->column(i, c));
        }
    }
    raise_frontiers(bands);
    return bands;
}

void StripeTruth::raise_frontiers(std::vector<BandTruth>& bands) const {
    const TpsTruth tps = look_at_tps(array_, scm_);
    for (BandTruth& band : bands) {
        if (!band.open) continue;
        for (const TpsTruth::Frontier& f : tps.frontiers) {
            if (f.band == band.band.value && f.sequence == band.sequence)
                band.segments = std::max(band.segments, f.segments);
        }
        for (std::uint32_t segment = 0; segment < l_.segments_per_band; ++segment) {
            Stripe stripe(array_, qlc_, band, segment);
            if (stripe.read_header())
                band.segments = std::max(band.segments, stripe.header().fixed().frontier);
        }
        band.segments = std::min(band.segments, l_.segments_per_band);
    }
}

bool StripeTruth::has_header(const BandTruth& band, std::uint32_t segment) const {
    return Stripe(array_, qlc_, band, segment).read_header();
}

SegmentTruth StripeTruth::look(const BandTruth& band, std::uint32_t segment) const {
    return Stripe(array_, qlc_, band, segment).judge();
}

}  // namespace qlcshape::sim
