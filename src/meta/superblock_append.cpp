// SPDX-License-Identifier: Apache-2.0
// The next record of every drive: QLC drives first, scm drives when those are durable.
//
// A cut leaves a generation on some drives and not on others. With g the one before:
//
//   QLC drives     SCM drives     the next opening
//   some g + 1     all g          takes g + 1 where it sees it, as an array that was not closed
//   all g + 1      some g + 1     likewise; a QLC drive with g alone is older, and refused. An SCM
//                                 drive that comes in is the first of them
#include <algorithm>

#include "meta/superblock_places.h"
#include "meta/superblock_store.h"

namespace qlcshape {

SuperblockAppend::SuperblockAppend(const Superblock& superblock,
                                   const std::vector<MemberDevice>& members)
    : next_(superblock), drives_(members.size()), places_(members.size()) {
    ++next_.generation;
    const ArrayLayout layout = *make_layout(next_.parameters);
    for (std::size_t i = 0; i < members.size(); ++i) {
        const MemberDevice& m = members[i];
        if (!takes_part(members, i)) continue;
        const Places places{layout.superblock_record_bytes, m.unit_bytes};
        drives_[i] = m.device.get();
        SuperblockPlace& place = places_[i] = m.next;
        if (place.slot >= places.slots()) place = {m.kept_unit ^ 1, 0, true};
        add(m, places.offset(place.unit, 0), places.offset(place.unit, place.slot),
            place.fresh_unit, layout);
        place = {place.unit, place.slot + 1, false};
    }
}

void SuperblockAppend::add(const MemberDevice& member, std::uint64_t unit, std::uint64_t at,
                           bool fresh_unit, const ArrayLayout& layout) {
    const bool qlc = member.record.role == DeviceRole::qlc;
    Transfers& transfers = qlc ? qlc_ : member.comes_in ? scm_coming_ : scm_;
    Io io;
    io.device = member.device.get();
    if (fresh_unit) {
        io.kind = IoKind::discard;
        io.point = qlc ? PersistencePoint::qlc_superblock_discard
                       : PersistencePoint::scm_superblock_discard;
        io.offset = unit;
        io.bytes = member.unit_bytes;
        transfers.discards.push_back(io);
    }
    records_.emplace_back(layout.superblock_record_bytes);
    encode_superblock(next_, member.record.uuid, records_.back().span());
    io.kind = IoKind::write;
    io.point =
        qlc ? PersistencePoint::qlc_superblock_write : PersistencePoint::scm_superblock_write;
    io.bytes = layout.p.strip_bytes;
    for (std::uint64_t done = 0; done < layout.superblock_record_bytes; done += io.bytes) {
        io.offset = at + done;
        io.data = records_.back().data() + done;
        transfers.writes.push_back(io);
    }
    io = Io{};
    io.kind = IoKind::flush;
    io.point =
        qlc ? PersistencePoint::qlc_superblock_flush : PersistencePoint::scm_superblock_flush;
    io.device = member.device.get();
    transfers.flushes.push_back(io);
}

Status SuperblockAppend::write(Superblock& superblock, std::vector<MemberDevice>& members,
                               IoQueue& queue) {
    superblock.generation = next_.generation;
    QS_TRY(write(qlc_, DeviceRole::qlc, members, queue));
    on_qlc_ = true;
    keep(DeviceRole::qlc, members);
    QS_TRY(write(scm_coming_, DeviceRole::scm, members, queue));
    QS_TRY(write(scm_, DeviceRole::scm, members, queue));
    keep(DeviceRole::scm, members);
    for (MemberDevice& m : members) m.comes_in = false;
    return {};
}

void SuperblockAppend::keep(DeviceRole role, std::vector<MemberDevice>& members) const {
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (takes_part(members, i) && members[i].record.role == role)
            members[i].kept_unit = members[i].next.unit;
    }
}

// The place is used up by the attempt.
Status SuperblockAppend::write(Transfers& transfers, DeviceRole role,
                               std::vector<MemberDevice>& members, IoQueue& queue) {
    QS_TRY(run(queue, transfers.discards));
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (takes_part(members, i) && members[i].record.role == role) members[i].next = places_[i];
    }
    // Where one drive fails the others have it for sure.
    const Status written = run(queue, transfers.writes);
    const Status flushed = run(queue, transfers.flushes);
    return written ? flushed : written;
}

MemberSet SuperblockAppend::refused_by() const {
    MemberSet members;
    for (const Transfers* transfers : {&qlc_, &scm_coming_, &scm_}) {
        for (const auto* ios : {&transfers->discards, &transfers->writes, &transfers->flushes}) {
            for (const Io& io : *ios) {
                if (io.error_number == 0) continue;
                if (!io.device->watched() || refused_by_system(io.error_number)) return {};
                const auto drive = std::ranges::find(drives_, io.device);
                members.set(static_cast<std::size_t>(drive - drives_.begin()));
            }
        }
    }
    return members;
}

Status claim_drive(const Superblock& superblock, const MemberDevice& drive, IoQueue& queue) {
    const ArrayLayout layout = *make_layout(superblock.parameters);
    Superblock claim = superblock;
    std::ranges::find(claim.members, drive.record.uuid, &MemberRecord::uuid)->uuid = claim.array;
    Buffer record(layout.superblock_record_bytes);
    encode_superblock(claim, claim.array, record.span());
    Io io;
    io.point = PersistencePoint::create;
    io.device = drive.device.get();
    if (drive.record.role == DeviceRole::qlc) {  // it was erased by writing, and takes no others
        io.kind = IoKind::discard;
        io.bytes = drive.unit_bytes;
        QS_TRY(run(queue, io));
    }
    io.kind = IoKind::write;
    io.bytes = layout.p.strip_bytes;
    for (; io.offset < record.size(); io.offset += io.bytes) {
        io.data = record.data() + io.offset;
        QS_TRY(run(queue, io));
    }
    Device* const device = drive.device.get();
    return flush_drives({&device, 1}, queue, PersistencePoint::create);
}

Status append_superblock(Superblock& superblock, std::vector<MemberDevice>& members,
                         IoQueue& queue) {
    return SuperblockAppend(superblock, members).write(superblock, members, queue);
}

}  // namespace qlcshape
