// SPDX-License-Identifier: Apache-2.0
// Lists of a superblock that contradict themselves under right checksums.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "format/bits.h"
#include "format/superblock.h"

using namespace qlcshape;

namespace {

Superblock two_volumes() {
    Superblock s;
    s.parameters.data_strips = 2;
    s.parameters.qlc_count = 4;
    s.parameters.strip_bytes = 64 * KiB;
    s.parameters.band_bytes = MiB;
    s.parameters.qlc_bytes = 100 * MiB;
    s.parameters.scm_bytes = 64 * MiB;
    for (std::uint16_t i = 0; i < 6; ++i) {
        MemberRecord m = make_member(s.parameters, i < 4 ? DeviceRole::qlc : DeviceRole::scm,
                                     static_cast<std::uint16_t>(i < 4 ? i : i - 4));
        m.uuid.bytes[0] = static_cast<std::uint8_t>(i + 1);
        s.members.push_back(m);
    }
    s.extents = {{0, 1}, {1, 1}};
    for (std::uint32_t i = 0; i < 2; ++i) {
        VolumeRecord v;
        v.name[0] = static_cast<char>('a' + i);
        v.first_extent = i;
        v.extents = 1;
        v.bytes = kPageSpanBytes;
        v.state = 1;
        s.volumes.push_back(v);
    }
    return s;
}

bool accepted(const std::function<void(Superblock&)>& change) {
    Superblock s = two_volumes();
    change(s);
    Buffer record(128 * KiB);
    encode_superblock(s, s.members[0].uuid, record.span());
    Uuid device;
    return decode_superblock(record.span(), &device).has_value();
}

}  // namespace

TEST_CASE("superblock: lists that contradict themselves are refused") {
    CHECK(accepted([](Superblock&) {}));
    // Two drives of one number: another number has none, and is a null pointer to who opens it.
    CHECK_FALSE(accepted([](Superblock& s) { s.members[1].index = 0; }));
    CHECK_FALSE(accepted([](Superblock& s) { s.members[1].uuid = s.members[0].uuid; }));
    // Two volumes with the same blocks, or the same name.
    CHECK_FALSE(accepted([](Superblock& s) { s.extents[1].first_page = 0; }));
    CHECK_FALSE(accepted([](Superblock& s) { s.volumes[1].first_extent = 0; }));
    CHECK_FALSE(accepted([](Superblock& s) { s.volumes[1].name[0] = 'a'; }));
    // So many bytes that rounding them up to pages wraps to none.
    CHECK_FALSE(accepted([](Superblock& s) {
        s.volumes[1].bytes = UINT64_MAX - kBlockBytes + 1;
        s.volumes[1].extents = 0;
    }));
    CHECK_FALSE(accepted([](Superblock& s) {
        s.extents.push_back({2, 0});
        s.volumes[1].extents = 2;
    }));
    CHECK_FALSE(accepted([](Superblock& s) { s.next_version = std::uint64_t{1} << 48; }));
}

TEST_CASE("superblock: one that is for no member, or tells of another role's places") {
    const Superblock s = two_volumes();
    Buffer record(128 * KiB);
    Uuid device;
    auto with = [&](std::size_t offset, std::uint8_t value) {
        encode_superblock(s, s.members[0].uuid, record.span());
        record.data()[offset] = std::byte{value};
        store<std::uint32_t>(record.data() + 8, 0);
        store<std::uint32_t>(record.data() + 8, crc32c(record.span().first(kBlockBytes)));
        return decode_superblock(record.span(), &device).has_value();
    };
    CHECK(with(64, 1));
    CHECK_FALSE(with(64, 99));    // the device's UUID
    CHECK_FALSE(with(200, 255));  // superblock_unit_bytes
}
