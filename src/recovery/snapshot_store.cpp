#include "recovery/snapshot_store.h"

#include <utility>

#include "base/buffer.h"

namespace qlcshape {

std::optional<Snapshot> load_snapshot(const ArrayContext& array, std::uint64_t epoch,
                                      IoQueue& queue) {
    const ArrayLayout& l = array.layout;
    Buffer record(l.snapshot_bytes);
    std::optional<Snapshot> newest;
    for (Device* scm : array.scm) {
        for (std::uint64_t place = 0; place < 2; ++place) {
            Io io;
            io.kind = IoKind::read;
            io.device = scm;
            io.offset = l.snapshot_place(place);
            io.bytes = l.snapshot_bytes;
            io.data = record.data();
            // One that can't be read is like a damaged one: another drive has it, too.
            if (!run(queue, io)) continue;
            auto seen = decode_snapshot(record.span(), l, array.array);
            if (!seen || seen->epoch > epoch) continue;
            const auto age = [](const Snapshot& s) { return std::pair(s.epoch, s.generation); };
            if (!newest || age(*seen) > age(*newest)) newest = std::move(seen);
        }
    }
    return newest;
}

Status write_snapshot(const ArrayContext& array, const Snapshot& snapshot, IoQueue& queue) {
    Buffer record(array.layout.snapshot_bytes);
    encode_snapshot(snapshot, array.layout, array.array, record.span());
    std::vector<Io> writes;
    for (Device* scm : array.scm) {
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
    return flush_drives(array.scm, queue, PersistencePoint::recovery_snapshot_flush);
}

}  // namespace qlcshape
