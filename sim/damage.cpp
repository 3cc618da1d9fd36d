// SPDX-License-Identifier: Apache-2.0
#include "sim/damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "format/band_page.h"
#include "format/bitmap_page.h"
#include "format/segment_header.h"
#include "meta/band_load.h"
#include "sim/sim_history.h"

namespace qlcshape::sim {

Damage::Damage(World& world, const std::vector<Media*>& media)
    : world_(world), rng_(world.random()), queue_(std::make_unique<IoQueue>()) {
    queue_->set_idle([this] { world_.step(); });
    for (Media* m : media) (m->qlc ? qlc_ : scm_).push_back(m);
}

void Damage::remember() {
    for (const auto* list : {&qlc_, &scm_}) {
        for (Media* m : *list) earlier_[m].assign(m->bytes.get(), m->bytes.get() + m->capacity());
    }
}

void Damage::find_array() {
    std::vector<std::unique_ptr<Device>> devices;
    for (const auto* list : {&qlc_, &scm_}) {
        for (Media* m : *list) {
            m->flushed(UINT64_MAX);
            devices.push_back(world_.device(*m));
        }
    }
    auto found = discover(std::move(devices), {}, *queue_);
    QS_ASSERT(found.has_value());
    discovery_ = std::move(*found);
    array_ = context_of(discovery_);
}

Damage::Newest Damage::look() {
    Newest newest;
    chosen_ = {qlc_.begin(), qlc_.end()};
    chosen_.insert(scm_.begin(), scm_.end());
    const ArrayLayout& l = array_.layout;
    for (const Place& p : superblock_records()) {
        Uuid device;
        const auto s = decode_superblock({at(p), l.superblock_record_bytes}, &device);
        if (s) newest.superblock = std::max(newest.superblock, s->generation);
    }
    for (const Place& p : scm_places(l.band_table_offset, 2 * l.band_table_pages * kBlockBytes)) {
        BandPage page(l, at(p));
        const std::uint64_t number = (p.offset - l.band_table_offset) / (2 * kBlockBytes);
        if (!page.valid(array_.array, number)) continue;
        std::uint64_t& generation = newest.band_pages[number];
        generation = std::max(generation, page.header().generation);
    }
    for (const Place& p : scm_places(l.bitmap_offset, 2 * l.bitmap_pages * kBlockBytes)) {
        BitmapPage page(at(p));
        const std::uint64_t number = (p.offset - l.bitmap_offset) / (2 * kBlockBytes);
        if (!page.valid(array_.array, number)) continue;
        std::uint64_t& generation = newest.bit_pages[number];
        generation = std::max(generation, page.header().generation);
    }
    for (const VolumeExtent& e : discovery_.superblock.extents) {
        for (std::uint64_t n = e.first_page; n < e.first_page + e.pages; ++n) {
            const PageId page(n);
            const Place p{scm_[l.pmt_drive(page)], l.pmt_page_offset(page)};
            PmtEntry entries[kPageEntries];
            if (decode_pmt_page(at(p), page, array_.array, entries))
                newest.pmt_pages[n].assign(at(p), at(p) + kBlockBytes);
        }
    }
    newest.tps = look_at_tps(array_, scm_);
    return newest;
}

// What is within redundancy loses nothing that counts, though the newest copy of something that was
// in flight may be gone.
Harm Damage::compare(const Newest& before, const Newest& after) const {
    Harm harm = harm_;
    harm.stripes = !stripes_hit_.empty();
    for (const auto& [page, bytes] : before.pmt_pages) {
        const auto now = after.pmt_pages.find(page);
        if (now != after.pmt_pages.end() && now->second != bytes) harm.pmt_stale.insert(page);
    }
    if (harm.within) return harm;
    harm.superblock_lost = after.superblock < before.superblock;
    for (const auto& [page, generation] : before.band_pages) {
        const auto now = after.band_pages.find(page);
        harm.band_page_lost |= now == after.band_pages.end() || now->second < generation;
    }
    // Where it is whole nowhere the table is built anew. Both places have the same bits, so one
    // generation less is no loss.
    for (const auto& [page, generation] : before.bit_pages) {
        const auto now = after.bit_pages.find(page);
        harm.bits_lost |= now != after.bit_pages.end() && now->second + 1 < generation;
    }
    harm.tps_loss_shows = after.tps.loss();
    harm.tps_lost = harm.tps_loss_shows || !after.tps.has_all_of(before.tps);
    for (const auto& [stripe, drives] : stripes_hit_) harm.stripe_lost |= drives.size() > 2;
    return harm;
}

// Up to two QLC drives and one SCM drive, or any.
void Damage::choose_drives() {
    chosen_.clear();
    const bool few = harm_.within || rng_.chance(1, 3);
    for (std::size_t n = 0; n < (harm_.within ? 2 : qlc_.size()); ++n)
        chosen_.insert(qlc_[few ? rng_.below(qlc_.size()) : n]);
    for (std::size_t n = 0; n < (harm_.within ? 1 : scm_.size()); ++n)
        chosen_.insert(scm_[few ? rng_.below(scm_.size()) : n]);
}

std::vector<Damage::Place> Damage::superblock_records() const {
    const ArrayLayout& l = array_.layout;
    std::vector<Place> places;
    for (const auto* list : {&qlc_, &scm_}) {
        for (Media* m : *list) {
            if (!chosen(*m)) continue;
            const std::uint64_t unit =
                m->qlc ? l.qlc_superblock_unit_bytes : l.scm_superblock_unit_bytes;
            const std::uint64_t slots =
                std::min<std::uint64_t>(kSuperblockSlots, unit / l.superblock_record_bytes);
            for (std::uint64_t i = 0; i < 2 * slots; ++i) {
                const std::uint64_t offset =
                    i / slots * unit + i % slots * l.superblock_record_bytes;
                if (looks_like_superblock({m->bytes.get() + offset, kBlockBytes}))
                    places.push_back({m, offset});
            }
        }
    }
    return places;
}

// Its first block, its lists' first, its last.
std::vector<Damage::Place> Damage::superblock_places() const {
    std::vector<Place> places;
    for (const Place& p : superblock_records()) {
        for (const std::uint64_t block :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{5}, std::uint64_t{11},
              array_.layout.superblock_record_bytes / kBlockBytes - 1}) {
            places.push_back({p.media, p.offset + block * kBlockBytes});
        }
    }
    return places;
}

std::vector<Damage::Place> Damage::scm_places(std::uint64_t begin, std::uint64_t bytes) const {
    std::vector<Place> places;
    for (Media* m : scm_) {
        for (std::uint64_t at = 0; chosen(*m) && at < bytes; at += kBlockBytes)
            places.push_back({m, begin + at});
    }
    return places;
}

// Headers and payload alike; what was never written has nothing to lose.
std::vector<Damage::Place> Damage::tps_places() const {
    auto places = scm_places(array_.layout.tps_offset, array_.layout.tps_bytes);
    std::erase_if(places, [&](const Place& p) {
        return std::all_of(at(p), at(p) + 64, [](std::byte b) { return b == std::byte{0}; });
    });
    return places;
}

// One that is near what was acknowledged, on all mirrors, in its header or in its data: at random
// that hardly ever happens.
void Damage::lose_record(const TpsTruth& tps) {
    const TpsTruth::Ring& ring = tps.rings[rng_.below(tps.rings.size())];
    if (ring.records.empty()) return;
    const auto found = ring.records.find(ring.acked + rng_.below(3) - 1);
    if (found == ring.records.end()) return;
    harm_.text += fmt::format("{}record {} of {} acknowledged", harm_.text.empty() ? "" : ", ",
                              found->first, ring.acked);
    for (const TpsTruth::Copy& c : found->second) {
        const std::uint64_t block = rng_.below(c.bytes / kBlockBytes);
        c.media->bytes.get()[c.offset + block * kBlockBytes + rng_.below(kBlockBytes)] ^=
            std::byte{1};
    }
}

// Those that volumes have, on any drive.
std::vector<Damage::Place> Damage::pmt_places() const {
    std::vector<Place> places;
    for (const VolumeExtent& e : discovery_.superblock.extents) {
        for (std::uint64_t i = 0; i < e.pages; ++i) {
            const PageId page(e.first_page + i);
            places.push_back(
                {scm_[array_.layout.pmt_drive(page)], array_.layout.pmt_page_offset(page)});
        }
    }
    return places;
}

// Of segments that count: headers or blocks of tombstones; and what stands in the same row on the
// other chosen drives, from which they would be rebuilt.
std::vector<Damage::Place> Damage::stripe_places(bool tombstones) const {
    const ArrayLayout& l = array_.layout;
    const auto loaded = load_band_table(array_, *queue_);
    std::vector<Place> places;
    for (std::uint32_t i = 0; loaded && i < l.bands * l.segments_per_band; ++i) {
        const BandId band(i / l.segments_per_band);
        const std::uint32_t segment = i % l.segments_per_band;
        const BandRecord& r = loaded->records[band.value];
        const std::uint64_t stripe = l.stripe_number(band, segment);
        const auto [first, offset] = array_.locate(band, segment, 0);
        const SegmentHeader header(l, qlc_[first]->bytes.get() + offset);
        if (!r.counts() || !header.valid(array_.array, band, segment) ||
            header.fixed().band_sequence != r.sequence)
            continue;
        for (std::uint32_t block = 0; block < l.blocks_per_segment; ++block) {
            const bool is_header = block < l.header_blocks;
            const bool wanted = tombstones
                                    ? !is_header && header.entry(block - l.header_blocks).kind ==
                                                        EntryKind::tombstones
                                    : is_header;
            for (Media* m : qlc_) {
                const std::uint64_t row = block % l.strip_blocks();
                if (wanted && chosen(*m)) places.push_back({m, offset + row * kBlockBytes, stripe});
            }
        }
    }
    return places;
}

Harm Damage::apply() {
    find_array();
    const ArrayLayout& l = array_.layout;
    harm_ = Harm{};
    harm_.clean = discovery_.superblock.state == ArrayState::clean;
    harm_.within = rng_.chance(2, 3);
    stripes_hit_.clear();
    const Newest before = look();
    choose_drives();
    do {
        if (rng_.chance(1, 8)) harm_.superblocks |= damage_kind("superblock", superblock_places());
        if (rng_.chance(1, 4)) {
            damage_kind("band page",
                        scm_places(l.band_table_offset, 2 * l.band_table_pages * kBlockBytes));
        }
        if (rng_.chance(1, 4)) {
            damage_kind("page of bits",
                        scm_places(l.bitmap_offset, 2 * l.bitmap_pages * kBlockBytes));
        }
        if (rng_.chance(1, 3)) damage_kind("TPS", tps_places());
        if (!harm_.within && rng_.chance(1, 3)) lose_record(before.tps);
        if (rng_.chance(1, 4)) harm_.pmt |= damage_kind("PMT page", pmt_places());
        if (rng_.chance(1, 2)) damage_kind("header", stripe_places(false));
        if (rng_.chance(1, 2)) damage_kind("tombstones", stripe_places(true));
        // Of both drives: it must do without.
        if (rng_.chance(1, 2)) {
            chosen_.insert(scm_.begin(), scm_.end());
            damage_kind("snapshot", scm_places(l.snapshot_offset, 2 * l.snapshot_bytes));
        }
    } while (harm_.text.empty());
    return compare(before, look());
}

// A few of them, or all.
bool Damage::damage_kind(const char* name, const std::vector<Place>& places) {
    if (places.empty()) return false;
    const bool all = rng_.chance(1, 6);
    const std::size_t n =
        all ? places.size() : 1 + rng_.below(std::min<std::size_t>(places.size(), 8));
    harm_.text += fmt::format("{}{} x {}", harm_.text.empty() ? "" : ", ", n, name);
    for (std::size_t i = 0; i < n; ++i)
        damage_one(all ? places[i] : places[rng_.below(places.size())], places);
    return true;
}

void Damage::damage_one(const Place& place, const std::vector<Place>& all) {
    std::byte* bytes = at(place);
    const auto hit = [&](const Place& p) {
        if (p.stripe != UINT64_MAX) stripes_hit_[p.stripe].insert(p.media);
    };
    hit(place);
    switch (rng_.below(5)) {
        case 0:
            for (std::uint64_t flips = 1 + rng_.below(3); flips != 0; --flips)
                bytes[rng_.below(kBlockBytes)] ^= std::byte(1 << rng_.below(8));
            break;
        case 1:
            std::memset(bytes, 0, kBlockBytes);
            break;
        case 2:
            std::generate_n(bytes, kBlockBytes, [&] { return std::byte(rng_.next() & 255); });
            break;
        case 3: {
            const Place& other = all[rng_.below(all.size())];
            hit(other);
            if (at(other) != bytes) std::swap_ranges(bytes, bytes + kBlockBytes, at(other));
            break;
        }
        default:
            if (const auto it = earlier_.find(place.media); it != earlier_.end())
                std::memcpy(bytes, it->second.data() + place.offset, kBlockBytes);
    }
}

}  // namespace qlcshape::sim
