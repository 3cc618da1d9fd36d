#include "damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/buffer.h"
#include "format/band_page.h"
#include "format/pmt_page.h"
#include "format/segment_header.h"
#include "raid6/geometry.h"
#include "recovery/tps_scan.h"

namespace qlcshape::sim {

void Damage::remember() {
    for (const auto* list : {&qlc_, &scm_}) {
        for (Media* m : *list) {
            earlier_[m].assign(m->bytes.data(), m->bytes.data() + m->bytes.size());
        }
    }
}

// The newest superblock of any drive, and with it where everything lies.
bool Damage::find_array() {
    bool found = false;
    for (Media* m : qlc_) {
        for (std::uint64_t at = 0; at + 64 * KiB <= m->bytes.size(); at += 64 * KiB) {
            const auto record = m->bytes.span().subspan(at, 64 * KiB);
            if (!looks_like_superblock(record)) continue;
            Uuid device;
            auto s = decode_superblock(record, &device);
            if (!s || (found && s->generation <= superblock_.generation)) continue;
            superblock_ = std::move(*s);
            found = true;
        }
    }
    if (!found) return false;
    array_.layout = *make_layout(superblock_.parameters);
    array_.array = superblock_.array;
    array_.epoch = superblock_.epoch;
    array_.epoch_key = superblock_.epoch_key;
    array_.shards = superblock_.shards;
    devices_.clear();
    array_.qlc.clear();
    array_.scm.clear();
    for (Media* m : qlc_) {
        devices_.push_back(world_.device(*m));
        array_.qlc.push_back(devices_.back().get());
    }
    for (Media* m : scm_) {
        devices_.push_back(world_.device(*m));
        array_.scm.push_back(devices_.back().get());
    }
    return true;
}

// The newest whole copies that are on any drive.
Damage::Newest Damage::look() {
    Newest newest;
    chosen_.clear();
    for (Media* m : qlc_) chosen_.insert(m);
    for (Media* m : scm_) chosen_.insert(m);
    for (const Place& p : superblock_places()) {
        if (auto peek = peek_superblock({at(p), kBlockBytes}); peek) {
            Uuid device;
            auto s = decode_superblock({at(p), array_.layout.superblock_record_bytes}, &device);
            if (s) newest.superblock = std::max(newest.superblock, s->generation);
        }
    }
    for (const Place& p : band_places()) {
        BandPage page(at(p));
        const std::uint64_t number =
            (p.offset - array_.layout.band_table_offset) / (2 * kBlockBytes);
        if (!page.valid(array_.array, number)) continue;
        std::uint64_t& generation = newest.band_pages[number];
        generation = std::max(generation, page.header().generation);
    }
    for (const Place& p : pmt_places()) {
        const std::uint64_t number =
            (p.offset - array_.layout.pmt_offset) / kBlockBytes * array_.layout.p.scm_count +
            static_cast<std::uint64_t>(std::find(scm_.begin(), scm_.end(), p.media) - scm_.begin());
        Buffer entries(kBlockBytes);
        if (decode_pmt_page(at(p), PageId(number), array_.array,
                            reinterpret_cast<PmtEntry*>(entries.data())))
            newest.pmt_pages[number].assign(at(p), at(p) + kBlockBytes);
    }
    IoQueue queue;
    queue.set_idle([this] { world_.step(); });
    const auto tps = scan_tps(array_, queue);
    newest.tps_whole = tps.has_value();
    if (tps) newest.tps_entries = tps->entries.size();
    return newest;
}

void Damage::choose_drives(bool within) {
    chosen_.clear();
    const std::uint64_t few = rng_.below(3);
    for (std::size_t n = 0; n < (within ? 2 : qlc_.size()); ++n) {
        chosen_.insert(within || few == 0 ? qlc_[rng_.below(qlc_.size())] : qlc_[n]);
    }
    for (std::size_t n = 0; n < (within ? 1 : scm_.size()); ++n) {
        chosen_.insert(within || few == 0 ? scm_[rng_.below(scm_.size())] : scm_[n]);
    }
}

std::vector<Damage::Place> Damage::superblock_places() const {
    const ArrayLayout& l = array_.layout;
    std::vector<Place> places;
    auto add = [&](Media* m, std::uint64_t unit_bytes) {
        if (!mine(*m)) return;
        const std::uint64_t slots =
            std::min<std::uint64_t>(kSuperblockSlots, unit_bytes / l.superblock_record_bytes);
        for (std::uint64_t i = 0; i < 2 * slots; ++i) {
            const std::uint64_t offset =
                i / slots * unit_bytes + i % slots * l.superblock_record_bytes;
            if (looks_like_superblock(m->bytes.span().subspan(offset, kBlockBytes)))
                places.push_back({m, offset, kBlockBytes});
        }
    };
    for (Media* m : qlc_) add(m, l.qlc_superblock_unit_bytes);
    for (Media* m : scm_) add(m, l.scm_superblock_unit_bytes);
    return places;
}

std::vector<Damage::Place> Damage::band_places() const {
    std::vector<Place> places;
    for (Media* m : scm_) {
        for (std::uint64_t i = 0; mine(*m) && i < 2 * array_.layout.band_table_pages; ++i) {
            places.push_back({m, array_.layout.band_page_offset(i / 2, i % 2), kBlockBytes});
        }
    }
    return places;
}

// Headers and payload alike; what was never written has nothing to lose.
std::vector<Damage::Place> Damage::tps_places() {
    std::vector<Place> places;
    const ArrayLayout& l = array_.layout;
    for (Media* m : scm_) {
        for (std::uint64_t at = 0; mine(*m) && at < l.tps_bytes; at += kBlockBytes) {
            const std::byte* block = m->bytes.data() + l.tps_offset + at;
            if (std::any_of(block, block + 64, [](std::byte b) { return b != std::byte{0}; }))
                places.push_back({m, l.tps_offset + at, kBlockBytes});
        }
    }
    return places;
}

// Those that volumes have.
std::vector<Damage::Place> Damage::pmt_places() const {
    std::vector<Place> places;
    for (const VolumeExtent& e : superblock_.extents) {
        for (std::uint64_t i = 0; i < e.pages; ++i) {
            const PageId page(e.first_page + i);
            places.push_back({scm_[array_.layout.pmt_drive(page)],
                              array_.layout.pmt_page_offset(page), kBlockBytes});
        }
    }
    return places;
}

// Headers of segments, or blocks of tombstones; and what stands in the same row on the other chosen
// drives, from which they would be rebuilt.
std::vector<Damage::Place> Damage::stripe_places(bool tombstones) {
    const ArrayLayout& l = array_.layout;
    const StripeGeometry geometry{l.p.data_strips};
    std::vector<Place> places;
    for (std::uint32_t b = 0; b < l.bands; ++b) {
        for (std::uint32_t s = 0; s < l.segments_per_band; ++s) {
            const BandId band(b);
            const std::uint64_t stripe = l.stripe_number(band, s);
            const std::uint64_t offset = l.strip_offset(band, s);
            Media* first = qlc_[geometry.drive_of(stripe, 0)];
            const SegmentHeader header(l, first->bytes.data() + offset);
            if (!header.valid(array_.array, band, s)) continue;
            for (std::uint32_t block = 0; block < l.blocks_per_segment; ++block) {
                const bool wanted = !tombstones ? block < l.header_blocks
                                                : block >= l.header_blocks &&
                                                      header.entry(block - l.header_blocks).kind ==
                                                          EntryKind::tombstones;
                if (!wanted) continue;
                const std::uint64_t in_strip =
                    offset + std::uint64_t{block % l.strip_blocks()} * kBlockBytes;
                for (Media* m : qlc_) {
                    if (mine(*m)) places.push_back({m, in_strip, kBlockBytes, stripe});
                }
            }
        }
    }
    return places;
}

Harm Damage::apply() {
    harm_ = Harm{};
    if (!find_array()) return harm_;
    const Newest before = look();
    harm_.within = rng_.chance(2, 3);
    choose_drives(harm_.within);
    do {
        if (rng_.chance(1, 8)) {
            damage_kind("superblock", superblock_places());
            harm_.superblocks = true;
        }
        if (rng_.chance(1, 3)) damage_kind("band page", band_places());
        if (rng_.chance(1, 3)) damage_kind("TPS", tps_places());
        if (rng_.chance(1, 4)) {
            damage_kind("PMT page", pmt_places());
            harm_.pmt = true;
        }
        if (rng_.chance(1, 2)) damage_kind("header", stripe_places(false));
        if (rng_.chance(1, 2)) damage_kind("tombstones", stripe_places(true));
    } while (harm_.text.empty());
    for (const auto& [stripe, drives] : stripes_hit_) harm_.stripe_lost |= drives.size() > 2;
    const Newest after = look();
    harm_.superblock_lost = after.superblock < before.superblock;
    for (const auto& [page, generation] : before.band_pages) {
        const auto now = after.band_pages.find(page);
        harm_.band_page_lost |= now == after.band_pages.end() || now->second < generation;
    }
    for (const auto& [page, bytes] : before.pmt_pages) {
        const auto now = after.pmt_pages.find(page);
        harm_.pmt_stale |= now != after.pmt_pages.end() && now->second != bytes;
    }
    harm_.tps_lost = !after.tps_whole || after.tps_entries != before.tps_entries;
    return harm_;
}

// A few of them, or all.
void Damage::damage_kind(const char* name, std::vector<Place> places) {
    if (places.empty()) return;
    const bool all = rng_.chance(1, 6);
    const std::size_t n =
        all ? places.size() : 1 + rng_.below(std::min<std::size_t>(places.size(), 8));
    harm_.text += fmt::format("{}{} x {}", harm_.text.empty() ? "" : ", ", n, name);
    for (std::size_t i = 0; i < n; ++i) {
        damage_one(all ? places[i] : places[rng_.below(places.size())], places);
    }
}

void Damage::note(const Place& p) {
    if (p.stripe != UINT64_MAX) stripes_hit_[p.stripe].insert(p.media);
}

void Damage::damage_one(const Place& place, const std::vector<Place>& all) {
    std::byte* bytes = at(place);
    note(place);
    switch (rng_.below(5)) {
        case 0:
            for (std::uint64_t flips = 1 + rng_.below(3); flips != 0; --flips)
                bytes[rng_.below(place.bytes)] ^= std::byte(1 << rng_.below(8));
            break;
        case 1:
            std::memset(bytes, 0, place.bytes);
            break;
        case 2:
            for (std::uint64_t i = 0; i < place.bytes; ++i)
                bytes[i] = static_cast<std::byte>(rng_.next());
            break;
        case 3: {
            const Place& other = all[rng_.below(all.size())];
            note(other);
            std::swap_ranges(bytes, bytes + place.bytes, at(other));
            break;
        }
        default:
            if (const auto it = earlier_.find(place.media); it != earlier_.end()) {
                std::memcpy(bytes, it->second.data() + place.offset, place.bytes);
            }
    }
}

}  // namespace qlcshape::sim
