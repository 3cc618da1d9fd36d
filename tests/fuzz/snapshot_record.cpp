// SPDX-License-Identifier: Apache-2.0
// A snapshot: the table as of it is read by what it says of the open bands. With kSeal the harness
// makes the checksum right.
#include "format/snapshot_record.h"

#include "base/buffer.h"
#include "base/crc32c.h"
#include "input.h"

namespace {

using namespace qlcshape;

// As encode_snapshot() does.
void seal(std::span<std::byte> record) {
    SnapshotFixed f;
    std::memcpy(&f, record.data(), sizeof(f));
    f.crc = 0;
    std::memcpy(record.data(), &f, sizeof(f));
    f.crc = crc32c(record);
    std::memcpy(record.data(), &f, sizeof(f));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const auto mode = input.take<std::uint8_t>();
    const ArrayLayout& l = fuzz::layout_for(mode);
    Buffer record(l.snapshot_bytes);
    input.take(record.span());
    if ((mode & fuzz::kSeal) != 0) seal(record.span());
    const auto snapshot = decode_snapshot(record.span(), l, fuzz::array_uuid());
    if (!snapshot) return 0;
    for (const SnapshotBand& b : snapshot->open)
        QS_ASSERT(b.band < l.bands && b.published <= l.segments_per_band);
    Buffer again(l.snapshot_bytes);
    encode_snapshot(*snapshot, l, fuzz::array_uuid(), again.span());
    const auto same = decode_snapshot(again.span(), l, fuzz::array_uuid());
    QS_ASSERT(same && same->generation == snapshot->generation && same->epoch == snapshot->epoch);
    QS_ASSERT(same->open.size() == snapshot->open.size());
    return 0;
}
