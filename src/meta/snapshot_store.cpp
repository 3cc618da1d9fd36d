// SPDX-License-Identifier: Apache-2.0
#include "meta/snapshot_store.h"

#include <utility>

#include "base/buffer.h"
#include "base/canary.h"

namespace qlcshape {

namespace {

bool before(const Snapshot& a, const Snapshot& b) {
    return std::pair(a.epoch, a.generation) < std::pair(b.epoch, b.generation);
}

// The newest whole one of that drive. A place that can't be read is like a damaged one.
std::optional<Snapshot> newest_on(Device& scm, const ArrayContext& array, std::uint64_t epoch,
                                  IoQueue& queue) {
    const ArrayLayout& l = array.layout;
    Buffer record(l.snapshot_bytes);
    std::optional<Snapshot> newest;
    for (std::uint64_t place = 0; place < 2; ++place) {
        Io io;
        io.kind = IoKind::read;
        io.device = &scm;
        io.offset = l.snapshot_place(place);
        io.bytes = l.snapshot_bytes;
        io.data = record.data();
        if (!run(queue, io)) continue;
        auto seen = decode_snapshot(record.span(), l, array.array);
        if (!seen || seen->epoch > epoch) continue;
        if (!newest || before(*newest, *seen)) newest = std::move(seen);
    }
    return newest;
}

}  // namespace

LoadedSnapshot load_snapshot(const ArrayContext& array, std::uint64_t epoch, IoQueue& queue) {
    std::vector<std::optional<Snapshot>> of_drive;
    std::vector<Device*> drives;
    for (Device* scm : array.scm_in()) {
        drives.push_back(scm);
        of_drive.push_back(newest_on(*scm, array, epoch, queue));
    }
    std::optional<Snapshot> oldest = of_drive.front(), newest = of_drive.front();
    for (const std::optional<Snapshot>& s : of_drive) {
        if (s && (!newest || before(*newest, *s))) newest = s;
        if (canary(Canary::snapshot_of_any)) {
            oldest = newest;
        } else if (!s) {
            oldest.reset();
        } else if (oldest && before(*s, *oldest)) {
            oldest = s;
        }
    }
    LoadedSnapshot loaded;
    for (std::size_t i = 0; i < of_drive.size(); ++i) {
        const std::optional<Snapshot>& s = of_drive[i];
        if (s) raise_counters(loaded.counters, s->counters);
        // One behind is a power cut while the newest was written, or the first of an epoch.
        if (newest && (!s || s->generation + 1 < newest->generation))
            loaded.behind.push_back(drives[i]);
    }
    // Damage that any record reports counts, also if an older snapshot is in force: the page is as
    // damaged for that one.
    if (oldest && newest->table_damaged) oldest->table_damaged = true;
    loaded.snapshot = std::move(oldest);
    return loaded;
}

Status write_snapshot(const ArrayContext& array, const Snapshot& snapshot, IoQueue& queue) {
    Buffer record(array.layout.snapshot_bytes);
    encode_snapshot(snapshot, array.layout, array.array, record.span());
    std::vector<Io> writes;
    for (Device* scm : array.scm_in()) {
        Io io;
        io.device = scm;
        io.kind = IoKind::write;
        io.point = PersistencePoint::recovery_snapshot_write;
        io.offset = array.layout.snapshot_place(snapshot.generation);
        io.bytes = record.size();
        io.data = record.data();
        writes.push_back(io);
    }
    QS_TRY(run(queue, writes));
    return flush_drives(array.scm_written(), queue, PersistencePoint::recovery_snapshot_flush);
}

}  // namespace qlcshape
