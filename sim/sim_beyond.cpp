// SPDX-License-Identifier: Apache-2.0
// More is lost than redundancy covers: three strips of a row, one record of the TPS on both
// mirrors, three QLC drives or both SCM drives. What is gone must be an error, until it is written
// again: never wrong data, zeroes, or older data. All else must be right, and everything must end.
// And what looks as bad but is not: each mirror lacks something that the other has.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "format/band_page.h"
#include "format/segment_header.h"
#include "meta/band_load.h"
#include "sim/sim_history.h"
#include "sim/tps_truth.h"

namespace qlcshape::sim {

// The array between two openings.
struct History::Closed {
    Discovery discovery;
    ArrayContext array;
    std::unique_ptr<IoQueue> queue;
    std::vector<Media*> qlc, scm;
};

void History::beyond_episode() {
    for (Media* m : media_) m->flushed(UINT64_MAX);
    world_.power_on();
    world_.cut_after(0);
    world_.faults().begin_opening(true);
    Closed closed;
    closed.queue = queue();
    auto discovery = discover(devices(), {}, *closed.queue);
    if (!discovery) return void(violate("discover: " + discovery.error().message));
    closed.discovery = std::move(*discovery);
    closed.array = context_of(closed.discovery);
    for (Media* m : media_) (m->qlc ? closed.qlc : closed.scm).push_back(m);
    if (rng_.chance(1, 8)) {
        std::set<std::size_t> lost;
        while (lost.size() < 3) lost.insert(rng_.below(closed.qlc.size()));
        open_refused("with three QLC drives missing", lost, "qlc");
        open_refused("without an SCM drive", {closed.qlc.size(), closed.qlc.size() + 1}, "scm");
    }
    const bool clean = closed.discovery.superblock.state == ArrayState::clean;
    if (clean && rng_.chance(1, 2)) lose_blocks(closed);
    if (clean) return;
    if (rng_.chance(1, 2)) lose_record(closed);
    if (rng_.chance(1, 2)) split_mirrors(closed);
}

// Refused with the name of a drive that it is for; nothing is written.
void History::open_refused(const char* why, const std::set<std::size_t>& lost, const char* names) {
    lost_ = lost;
    const std::uint64_t writes = world_.coverage().writes();
    auto core = try_open();
    lost_.clear();
    if (core) {
        core_ = std::move(*core);
        violate(fmt::format("it opened {}", why));
        return drop();
    }
    ++result_.refused;
    if (core.error().message.find(names) == std::string::npos)
        violate(fmt::format("{}: the refusal names no drive: {}", why, core.error().message));
    if (world_.coverage().writes() != writes)
        violate(fmt::format("{}: the opening that was refused wrote something", why));
}

// Some rows of some segments. Two neighbours are never hit: where the newest segments all lack one
// drive's strips, that drive counts as older.
void History::lose_blocks(Closed& closed) {
    const ArrayLayout& l = closed.array.layout;
    const auto loaded = load_band_table(closed.array, *closed.queue);
    if (!loaded) return void(violate("load_band_table: " + loaded.error().message));
    std::vector<std::pair<BandId, std::uint32_t>> segments;
    for (std::uint32_t i = 0; i < l.bands; ++i) {
        const BandRecord& r = loaded->records[i];
        for (std::uint32_t s = 1; r.counts() && s < r.segments; s += 2)
            segments.emplace_back(BandId(i), s);
    }
    if (segments.empty()) return;
    for (std::uint64_t n = 1 + rng_.below(4); n != 0; --n) {
        const auto& [band, segment] = segments[rng_.below(segments.size())];
        for (std::uint64_t rows = 1 + rng_.below(3); rows != 0; --rows)
            lose_row(closed, band, segment);
    }
}

// One bit in as many blocks of a row as nothing brings back. Tombstones and the header stay: where
// they are gone the table can't be rebuilt, and damage_test.cpp has that.
void History::lose_row(Closed& closed, BandId band, std::uint32_t segment) {
    const ArrayLayout& l = closed.array.layout;
    const auto place = [&](std::uint32_t role) { return closed.array.locate(band, segment, role); };
    const auto drive = [&](std::uint32_t role) { return closed.qlc[place(role).drive]; };
    const SegmentHeader header(l, drive(0)->bytes.get() + place(0).offset);
    if (!header.valid(closed.array.array, band, segment)) return;
    const std::uint32_t row = static_cast<std::uint32_t>(rng_.below(l.strip_blocks()));
    const auto offset = [&](std::uint32_t role) { return place(role).offset + row * kBlockBytes; };
    std::vector<std::uint32_t> roles(l.width());
    std::iota(roles.begin(), roles.end(), 0);
    std::erase_if(roles, [&](std::uint32_t role) {
        if (role >= l.p.data_strips) return false;
        const std::uint32_t block = role * l.strip_blocks() + row;
        return block < l.header_blocks ||
               header.entry(block - l.header_blocks).kind == EntryKind::tombstones;
    });
    if (roles.size() < 3) return;
    for (std::size_t i = 0; i < roles.size(); ++i)
        std::swap(roles[i], roles[i + rng_.below(roles.size() - i)]);
    roles.resize(3 + rng_.below(roles.size() - 2));
    for (const std::uint32_t role : roles) {
        if (drive(role)->damaged(offset(role), kBlockBytes)) return;
    }
    blocks_lost_ = true;
    SimVolume& volume = *volumes_[0];
    for (const std::uint32_t role : roles) {
        drive(role)->rot(offset(role), rng_);
        drive(role)->note_damage(offset(role), kBlockBytes, Fault::bit_rot,
                                 world_.faults().counts());
        ++result_.blocks_damaged;
        if (role >= l.p.data_strips) continue;
        const Entry e = header.entry(role * l.strip_blocks() + row - l.header_blocks);
        const auto block = block_of_.find(e.lba.value);
        if (e.kind == EntryKind::data && block != block_of_.end())
            volume.oracle.lose(block->second * kSectorsPerBlock, kSectorsPerBlock);
    }
}

// Each mirror loses what the other has whole: records of the TPS, pages of the band table.
void History::split_mirrors(Closed& closed) {
    const ArrayLayout& l = closed.array.layout;
    const auto spoil = [&](Media& m, std::uint64_t offset, std::uint64_t bytes) {
        const std::uint64_t at = offset + rng_.below(bytes / kBlockBytes) * kBlockBytes;
        m.rot(at, rng_);
        m.note_damage(at, kBlockBytes, Fault::bit_rot, world_.faults().counts());
    };
    const TpsTruth tps = look_at_tps(closed.array, closed.scm);
    for (const TpsTruth::Ring& ring : tps.rings) {
        for (const auto& [sequence, copies] : ring.records) {
            if (copies.size() != 2 || !copies[0].whole || !copies[1].whole) continue;
            const TpsTruth::Copy& c = copies[rng_.below(2)];
            if (rng_.chance(1, 2)) spoil(*c.media, c.offset, c.bytes);
        }
    }
    for (std::uint64_t page = 0; page < l.band_table_pages; ++page) {
        const auto newest = [&](const Media& m) {
            std::uint64_t generation = 0, at = 0;
            for (std::uint32_t copy = 0; copy < 2; ++copy) {
                const std::uint64_t offset = l.band_page_offset(page, copy);
                BandPage p(l, m.bytes.get() + offset);
                if (!p.valid(closed.array.array, page) || p.header().generation <= generation)
                    continue;
                generation = p.header().generation;
                at = offset;
            }
            return std::pair{generation, at};
        };
        const auto here = newest(*closed.scm[0]);
        if (here.first == 0 || here != newest(*closed.scm[1])) continue;
        if (rng_.chance(1, 2)) spoil(*closed.scm[rng_.below(2)], here.second, kBlockBytes);
    }
    ++result_.mirrors_split;
}

// A record that counts is whole on neither mirror, and others say so: the opening is refused. Then
// it is there again.
void History::lose_record(Closed& closed) {
    const TpsTruth tps = look_at_tps(closed.array, closed.scm);
    const TpsTruth::Ring& ring = tps.rings[rng_.below(tps.rings.size())];
    if (ring.acked < ring.tail) return;
    const std::uint64_t back = rng_.chance(1, 2) ? rng_.below(3) : rng_.below(ring.acked);
    const auto found =
        ring.records.find(std::max(ring.tail, ring.acked - std::min(back, ring.acked)));
    if (found == ring.records.end()) return;
    std::vector<std::pair<std::byte*, std::byte>> before;
    for (const TpsTruth::Copy& c : found->second) {
        std::byte* at = c.media->bytes.get() + c.offset + rng_.below(c.bytes);
        before.emplace_back(at, *at);
        *at ^= std::byte{0x10};
    }
    if (look_at_tps(closed.array, closed.scm).loss())
        open_refused("without a record that was acknowledged", {}, "scm");
    for (const auto& [at, byte] : before) *at = byte;
}

// More at once than redundancy covers. What was acknowledged is there when they are back.
void History::take_drives_away() {
    const std::size_t qlc = qlc_drives();
    std::set<std::size_t> away;
    if (rng_.chance(1, 3)) away = {qlc, qlc + 1};
    for (const std::uint64_t n = 3 + rng_.below(qlc - 2); away.size() < n && !away.contains(qlc);)
        away.insert(rng_.below(qlc));
    for (const std::size_t i : away) world_.take_away(*media_[i]);
    world_.faults().note_may_stop();
    drives_away_ = true;
    ++result_.drives_away;
}

// Under load three QLC drives or more lose all that is in their bands: they can't read it, and take
// writes as before. Every request ends, as does closing; what is read is right. Of what was not yet
// known to be durable the next opening may show older blocks: it can't be told from what was torn.
void History::ruin_drives() {
    if (!open_through_cuts()) return;
    choose_load();
    const std::size_t qlc = qlc_drives();
    const std::size_t many = 3 + rng_.below(qlc - 2);
    const std::uint64_t steps = 200 + rng_.below(4000), at = rng_.below(steps);
    for (std::uint64_t i = 0; i < steps && result_.violation.empty(); ++i) {
        if (rng_.chance(1, 8)) submit_one();
        poll_something();
        if (i != at) continue;
        std::set<std::size_t> ruined;
        while (ruined.size() < many) ruined.insert(rng_.below(qlc));
        for (const std::size_t drive : ruined) {
            Media& m = *media_[drive];
            const std::uint64_t begin = world_.faults().region_begin(m, Region::bands);
            m.note_damage(begin, world_.faults().region_end(m, Region::bands) - begin,
                          Fault::unreadable, world_.faults().counts());
        }
        world_.faults().note_may_stop();
        for (const auto& v : volumes_) v->oracle.lose(0, v->sectors);
        ++result_.drives_away;
    }
    wait_for_requests();
    if (!result_.violation.empty()) return drop();
    errors_ = older_ = true;
    rng_.chance(1, 2) ? close_clean() : crash();
    if (result_.violation.empty()) open_ruined();
}

// It is refused with a reason, or whatever can be read is some write's; and closing ends.
void History::open_ruined() {
    world_.power_on();
    world_.cut_after(0);
    world_.faults().begin_opening(true);
    world_.faults().note_may_stop();
    auto core = try_open();
    if (!core) {
        ++result_.refused;
        return;
    }
    core_ = std::move(*core);
    before_ = core_->stats();
    if (find_volumes()) compare_all(false);
    if (result_.violation.empty()) close_clean();
}

}  // namespace qlcshape::sim
