// SPDX-License-Identifier: Apache-2.0
#include "placement/array_context.h"

#include <algorithm>

#include "base/assert.h"
#include "base/canary.h"

namespace qlcshape {

Location ArrayContext::locate_column(BandId band, std::uint32_t column) const {
    const Column place = columns->of(band, column);
    if (!place.there()) return {};
    return {place.member, layout.slot_offset(place.slot)};
}

Location ArrayContext::locate(BandId band, std::uint32_t segment, std::uint32_t role) const {
    const std::uint64_t stripe = layout.stripe_number(band, segment);
    Location place = locate_column(band, column_of(stripe, role, columns->rotation(band)));
    place.offset += std::uint64_t{segment} * layout.p.strip_bytes;
    return place;
}

DriveSet ArrayContext::drives_in() const {
    DriveSet in;
    for (std::size_t d = 0; d < qlc.size(); ++d)
        in[d] = qlc[d] != nullptr ? qlc[d]->takes_columns() : canary(Canary::absent_is_named);
    return in;
}

DriveSet ArrayContext::drives_draining() const {
    DriveSet draining;
    for (std::size_t d = 0; d < qlc.size(); ++d)
        draining[d] = qlc[d] != nullptr && qlc[d]->drains();
    return draining;
}

DriveSet ArrayContext::drives_gone() const {
    DriveSet gone;
    for (std::size_t d = 0; d < qlc.size(); ++d) gone[d] = !is_in(qlc[d]) || qlc[d]->returning();
    return gone;
}

bool ArrayContext::drive_leaves() const {
    const auto leaves = [](const Device* d) { return d != nullptr && d->leaves(); };
    return std::ranges::any_of(qlc.all(), leaves) || std::ranges::any_of(scm.all(), leaves);
}

// In this order: one that is no longer coming is in by then. Where it is both it gets the same
// twice.
DrivesNow ArrayContext::scm_written() const {
    DrivesNow written;
    for (Device* drive : scm_coming.all()) {
        if (drive != nullptr) written.push_back(drive);
    }
    for (Device* drive : scm_in()) written.push_back(drive);
    return written;
}

std::uint32_t ArrayContext::columns_there(BandId band, const DriveSet& without) const {
    std::uint32_t there = 0;
    for (std::uint32_t c = 0; c < layout.width(); ++c) {
        const Location place = locate_column(band, c);
        there += drive_at(place) != nullptr && !without[place.drive] ? 1 : 0;
    }
    return there;
}

bool ArrayContext::is_narrow(BandId band) const {
    return columns->can_get_one(band, drives_in(), drives_draining());
}

Io ArrayContext::segment_io(IoKind kind, BandId band, std::uint32_t segment, std::uint64_t at,
                            std::uint64_t bytes, std::byte* data) const {
    const std::uint64_t in_strip = at % layout.p.strip_bytes;
    QS_ASSERT(in_strip + bytes <= layout.p.strip_bytes);
    const auto role = static_cast<std::uint32_t>(at / layout.p.strip_bytes);
    const Location place = locate(band, segment, role);
    Io io;
    io.kind = kind;
    io.device = drive_at(place);
    io.offset = place.offset + in_strip;
    io.bytes = bytes;
    io.data = data;
    return io;
}

Io ArrayContext::probe_io(std::uint32_t drive, std::byte* block) const {
    Io io;
    io.kind = IoKind::read;
    io.device = qlc[drive];
    io.bytes = kBlockBytes;
    io.data = block;
    return io;
}

Io ArrayContext::pmt_io(IoKind kind, PageId page, std::uint32_t copy, std::byte* block,
                        PersistencePoint point) const {
    Device* const drive = scm[layout.pmt_drive(page, copy)];
    Io io;
    io.kind = kind;
    io.device = is_in(drive) ? drive : nullptr;
    io.offset = layout.pmt_page_offset(page, copy);
    io.bytes = kBlockBytes;
    io.data = block;
    io.point = point;
    return io;
}

Device* ArrayContext::coming_at(PageId page, std::uint32_t copy) const {
    const std::size_t index = layout.pmt_drive(page, copy);
    return index < scm_coming.size() ? scm_coming[index] : nullptr;
}

}  // namespace qlcshape
