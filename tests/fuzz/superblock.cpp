// SPDX-License-Identifier: Apache-2.0
// A superblock record. The input is packed: the fixed part, then members, volumes and extents as
// many as the fixed part counts, since a record is mostly zeroes. What decodes is used as
// discovery and the volume table do.
#include "format/superblock.h"

#include "base/buffer.h"
#include "base/crc32c.h"
#include "engine/volume_table.h"
#include "format/bits.h"
#include "format/format_version.h"
#include "input.h"
#include "layout_use.h"
#include "superblock_pack.h"

namespace {

using namespace qlcshape;
using namespace qlcshape::fuzz;

void seal(std::span<std::byte> record) {
    store<std::uint64_t>(record.data(), 0x4550414853434c51);
    store<std::uint16_t>(record.data() + 12, kFormatVersion);
    store<std::uint16_t>(record.data() + 14, kFormatDraft);
    store<std::uint32_t>(record.data() + 20, static_cast<std::uint32_t>(record.size()));
    store<std::uint32_t>(record.data() + 16, crc32c(record.subspan(kBlockBytes)));
    store<std::uint32_t>(record.data() + 8, 0);
    store<std::uint32_t>(record.data() + 8, crc32c(record.first(kBlockBytes)));
}

void use_volumes(Superblock s, const ArrayLayout& layout) {
    std::uint64_t promised = 0;
    for (const VolumeRecord& v : s.volumes) {
        QS_ASSERT(v.bytes <= layout.pmt_pages * kPageSpanBytes);
        promised += v.bytes;
        std::uint64_t left = v.bytes;
        for (std::uint32_t i = 0; i < v.extents; ++i) {
            const VolumeExtent& e = s.extents.at(v.first_extent + i);
            QS_ASSERT(e.pages > 0 && e.first_page + e.pages <= layout.pmt_pages);
            left -= std::min(left, e.pages * kPageSpanBytes);
        }
        QS_ASSERT(left == 0);
    }
    QS_ASSERT(promised == promised_bytes(s));
    if (add_volume(s, layout, "fuzzed.volume", kPageSpanBytes, Uuid{})) {
        QS_ASSERT(remove_volume(s, Uuid{}).has_value());
    }
    while (!s.volumes.empty()) {
        QS_ASSERT(remove_volume(s, Uuid(s.volumes.front().uuid)).has_value());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto mode = input.take<std::uint8_t>();
    // The large array's record is one strip.
    Buffer memory((mode & kLarge) != 0 ? 256 * KiB : 128 * KiB);
    const std::span<std::byte> record = memory.span();
    unpack_superblock(input, record);
    if ((mode & kSeal) != 0) seal(record);
    static_cast<void>(looks_like_superblock(record.first(kBlockBytes)));
    const auto peek = peek_superblock(record.first(kBlockBytes));
    QS_ASSERT(peek || (mode & kSeal) == 0);
    Uuid device;
    const auto s = decode_superblock(record, &device);
    if (!s) return 0;
    QS_ASSERT(peek && peek->array == s->array && peek->generation == s->generation);
    const auto layout = make_layout(s->parameters);
    QS_ASSERT(layout.has_value());
    use_layout(*layout);
    QS_ASSERT(s->next_version >> kVersionBits == 0);
    use_volumes(*s, *layout);
    // Nothing is lost by writing it again.
    Buffer copy(record.size());
    encode_superblock(*s, device, copy.span());
    Uuid same;
    const auto again = decode_superblock(copy.span(), &same);
    QS_ASSERT(again && same == device && again->name == s->name);
    QS_ASSERT(again->volumes.size() == s->volumes.size());
    return 0;
}
