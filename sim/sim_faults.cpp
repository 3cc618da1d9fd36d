// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_faults.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace qlcshape::sim {

namespace {

constexpr const char* kProfiles[] = {"cuts",  "away",   "wide", "media", "drives",
                                     "older", "beyond", "all",  "loop",  "sequences"};

constexpr Fault kOfMedia[] = {Fault::bit_rot,           Fault::unreadable,       Fault::lost_write,
                              Fault::misdirected_write, Fault::misdirected_read, Fault::read_error};
constexpr Fault kOfDrives[] = {Fault::read_error,     Fault::write_error, Fault::flush_error,
                               Fault::gone,           Fault::slow,        Fault::stuck,
                               Fault::zone_read_only, Fault::zone_offline};

}  // namespace

const char* to_string(Profile profile) { return kProfiles[static_cast<std::size_t>(profile)]; }

std::string profile_names() { return fmt::format("{}", fmt::join(kProfiles, ",")); }

bool profile_of(const std::string& name, Profile& profile) {
    for (std::size_t i = 0; i < std::size(kProfiles); ++i) {
        if (name != kProfiles[i]) continue;
        profile = static_cast<Profile>(i);
        return true;
    }
    return false;
}

Region Injector::region_of(const Media& media, std::uint64_t offset) const {
    if (media.qlc) {
        return offset < 2 * layout_.qlc_superblock_unit_bytes ? Region::superblock : Region::bands;
    }
    if (offset < layout_.band_table_offset) return Region::superblock;
    if (offset < layout_.tps_offset) return Region::band_table;
    return offset < layout_.pmt_offset ? Region::tps : Region::pmt;
}

std::uint64_t Injector::region_begin(const Media& media, Region region) const {
    switch (region) {
        case Region::superblock:
            return 0;
        case Region::band_table:
            return layout_.band_table_offset;
        case Region::tps:
            return layout_.tps_offset;
        case Region::pmt:
            return layout_.pmt_offset;
        case Region::bands:
            return media.qlc ? 2 * layout_.qlc_superblock_unit_bytes : 0;
    }
    return 0;
}

std::uint64_t Injector::region_end(const Media& media, Region region) const {
    switch (region) {
        case Region::superblock:
            return media.qlc ? 2 * layout_.qlc_superblock_unit_bytes : layout_.band_table_offset;
        case Region::band_table:
            return layout_.tps_offset;
        case Region::tps:
            return layout_.pmt_offset;
        case Region::pmt:
            return layout_.pmt_offset +
                   div_up(layout_.pmt_pages, layout_.p.scm_count) * kBlockBytes;
        case Region::bands:
            return layout_.slot_offset(layout_.drive_slots());
    }
    return 0;
}

void Injector::begin_opening(bool quiet) {
    may_stop_ = false;
    active_ = false;
    on_ = {};
    slow_drive_ = UINT32_MAX;
    if (quiet || (!media_faults() && !drive_faults())) return;
    auto draw = [&](Fault fault) {
        if (random_.chance(1, 4)) on_[static_cast<std::size_t>(fault)] = active_ = true;
    };
    if (media_faults()) {
        for (const Fault fault : kOfMedia) draw(fault);
    }
    if (drive_faults()) {
        for (const Fault fault : kOfDrives) draw(fault);
        if (on_[static_cast<std::size_t>(Fault::slow)]) {
            slow_drive_ = static_cast<std::uint32_t>(random_.below(layout_.p.qlc_count + 2));
            counts_.told(Fault::slow);
        }
    }
    constexpr std::uint64_t kRates[] = {20, 100, 500, 2000};
    one_in_ = kRates[random_.below(std::size(kRates))];
    left_ = static_cast<std::uint32_t>(1 + random_.below(30));
}

std::uint64_t Injector::delay(const Media& media, const Io& io, bool& times_out) {
    if (!active_) return 0;
    if (media.index == slow_drive_) return random_.below(300);
    if (left_ == 0 || !on_[static_cast<std::size_t>(Fault::stuck)] ||
        !random_.chance(1, 4 * one_in_))
        return 0;
    --left_;
    times_out = random_.chance(1, 2) && possible(Fault::stuck, media, io);
    if (times_out) may_stop_ |= stops(Fault::stuck, media, io);
    counts_.told(Fault::stuck);
    return 1000 + random_.below(20000);
}

Fault Injector::choose(const Media& media, const Io& io) {
    if (!active_ || left_ == 0 || !random_.chance(1, one_in_)) return Fault::none;
    const auto fault = static_cast<Fault>(1 + random_.below(kFaults - 1));
    const bool drawn = on_[static_cast<std::size_t>(fault)] && fault != Fault::stuck;
    if (!drawn || !possible(fault, media, io)) return Fault::none;
    --left_;
    may_stop_ |= stops(fault, media, io);
    return fault;
}

bool Injector::possible(Fault fault, const Media& media, const Io& io) const {
    const Region region = region_of(media, io.offset);
    const bool redundant =
        region == Region::bands || region == Region::tps || region == Region::band_table;
    const bool spoils = (media.weak && redundant);
    // What weak drives have may be damaged: so no others must go out.
    const bool needed = !media.weak && media_faults() && (media.qlc || layout_.p.pmt_copies > 1);
    switch (fault) {
        case Fault::bit_rot:
        case Fault::unreadable:
            return (io.kind == IoKind::read || io.kind == IoKind::write) &&
                   (spoils || region == Region::pmt);
        case Fault::misdirected_read:
            return io.kind == IoKind::read && (spoils || region == Region::pmt);
        case Fault::read_error:
            return io.kind == IoKind::read &&
                   (spoils || region == Region::pmt || region == Region::superblock);
        case Fault::lost_write:
            return io.kind == IoKind::write && spoils;
        case Fault::misdirected_write:
            return io.kind == IoKind::write && spoils && !media.zoned();
        case Fault::write_error:
            return io.kind == IoKind::write && !needed;
        case Fault::flush_error:
            return io.empties_cache() && media.weak;
        case Fault::gone:
            return media.weak;
        case Fault::zone_read_only:
        case Fault::zone_offline:
            return io.kind == IoKind::write && media.weak && media.zoned() &&
                   region == Region::bands;
        case Fault::stuck:  // and ends in an error
            return !needed &&
                   (io.kind != IoKind::read || media.weak || region == Region::superblock);
        default:
            return false;
    }
}

// What the engine answers by stopping (docs/faults.md): everything but damage and read errors where
// there is redundancy.
bool Injector::stops(Fault fault, const Media& media, const Io& io) const {
    const Region region = region_of(media, io.offset);
    switch (fault) {
        case Fault::bit_rot:
        case Fault::unreadable:
        case Fault::misdirected_read:
            return region == Region::pmt;
        case Fault::lost_write:
        case Fault::misdirected_write:
            return false;
        case Fault::read_error:
            return region == Region::pmt || region == Region::superblock;
        case Fault::stuck:
            return io.kind != IoKind::read || region == Region::pmt || !media.qlc ||
                   region == Region::superblock;
        default:
            return true;
    }
}

}  // namespace qlcshape::sim
