// SPDX-License-Identifier: Apache-2.0
// The superblock as bytes: comes back as it was, and nothing that changed passes.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <optional>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "format/bits.h"
#include "format/format_version.h"
#include "format/superblock.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kRecordBytes = 128 * KiB;
// Places in the record (docs/disk_format.md).
constexpr std::size_t kCrcAt = 8;
constexpr std::size_t kFormatAt = 12;
constexpr std::size_t kDraftAt = 14;
constexpr std::size_t kBodyCrcAt = 16;
constexpr std::size_t kRecordBytesAt = 20;
constexpr std::size_t kCompatibleAt = 24;
constexpr std::size_t kReadOnlyCompatibleAt = 32;
constexpr std::size_t kIncompatibleAt = 40;
constexpr std::size_t kStripBytesAt = 168;
constexpr std::size_t kBandBytesAt = 176;
constexpr std::size_t kDataStripsAt = 208;
constexpr std::size_t kMaxShardsAt = 224;
constexpr std::size_t kShardsAt = 232;
constexpr std::size_t kHeaderBlocksAt = 236;
// Membership numbers, claim, max_members, max_streams, entry format.
constexpr std::size_t kUnusedAt[] = {96, 104, 112, 120, 128, 240, 244, 342};
constexpr std::size_t kPmtCopiesAt = 343;
// in_sync, slots, returns, id, host, enclosure, left_at: of the third member, which is in.
constexpr std::size_t kMembersAt = 4096, kMemberBytes = 128;
constexpr std::size_t kThirdMemberAt = kMembersAt + 2 * kMemberBytes;
constexpr std::size_t kMemberStateAt = 78;
constexpr std::size_t kMemberUnusedAt[] = {16, 24, 40, 48, 72, 76, 79, 80, 88};
constexpr std::size_t kStateAt = 336;
constexpr std::size_t kLbaBitsAt = 337;
constexpr std::size_t kVersionBitsAt = 338;
constexpr std::size_t kPbaBitsAt = 339;
constexpr std::size_t kCrcBitsAt = 340;
constexpr std::size_t kEntryBytesAt = 341;
constexpr std::size_t kMemberCountAt = 344;
constexpr std::size_t kVolumeCountAt = 348;
constexpr std::size_t kExtentCountAt = 352;

Superblock example() {
    Random random(1);
    Superblock s;
    s.array = Uuid::random(random);
    s.name = "example";
    s.parameters.data_strips = 2;
    s.parameters.qlc_count = 4;
    s.parameters.strip_bytes = 64 * KiB;
    s.parameters.band_bytes = MiB;
    s.parameters.qlc_bytes = 100 * MiB;
    s.parameters.scm_bytes = 64 * MiB;
    s.parameters.max_shards = 4;
    s.generation = 12;
    s.complete_generation = 11;
    s.epoch = 5;
    s.epoch_key = random.next();
    s.shards = 3;
    s.state = ArrayState::open;
    s.next_version = 1234567;
    s.next_band_sequence = 89;
    for (std::size_t i = 0; i < kCounters; ++i) s.counters[i] = random.next();
    for (std::uint16_t i = 0; i < 6; ++i) {
        MemberRecord m = make_member(s.parameters, i < 4 ? DeviceRole::qlc : DeviceRole::scm,
                                     static_cast<std::uint16_t>(i < 4 ? i : i - 4));
        m.uuid = Uuid::random(random);
        m.capacity_bytes = 100 * MiB;
        m.iu_bytes = 16384;
        m.block_bytes = 4096;
        s.members.push_back(m);
    }
    s.extents = {{0, 3}, {5, 2}, {3, 1}};
    for (std::uint32_t i = 0; i < 2; ++i) {
        VolumeRecord v;
        v.uuid = Uuid::random(random);
        std::memcpy(v.name, i == 0 ? "va" : "vb", 2);
        v.first_extent = i == 0 ? 0 : 2;
        v.extents = i == 0 ? 2 : 1;
        v.bytes = i == 0 ? 5 * kPageSpanBytes : kBlockBytes;
        v.state = 1;
        s.volumes.push_back(v);
    }
    return s;
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

struct Record {
    Superblock superblock = example();
    Buffer bytes{kRecordBytes};
    Record() { encode(); }
    void encode() { encode_superblock(superblock, superblock.members[0].uuid, bytes.span()); }
    // Makes the checksums right again after a change.
    void reseal() const {
        store<std::uint32_t>(bytes.data() + kBodyCrcAt, crc32c(bytes.span().subspan(kBlockBytes)));
        store<std::uint32_t>(bytes.data() + kCrcAt, 0);
        store<std::uint32_t>(bytes.data() + kCrcAt, crc32c(bytes.span().first(kBlockBytes)));
    }
    Result<Superblock> decode() const {
        Uuid device;
        return decode_superblock(bytes.span(), &device);
    }
    template <class T>
    Errc with(std::size_t at, T value) const {
        const T before = load<T>(bytes.data() + at);
        store<T>(bytes.data() + at, value);
        reseal();
        const auto decoded = decode();
        store<T>(bytes.data() + at, before);
        reseal();
        REQUIRE_FALSE(decoded);
        return decoded.error().code;
    }
};

// What decoding says of an example that was changed before it was encoded.
Errc changed(const std::function<void(Superblock&)>& change) {
    Record record;
    change(record.superblock);
    record.encode();
    const auto decoded = record.decode();
    REQUIRE_FALSE(decoded);
    return decoded.error().code;
}

}  // namespace

TEST_CASE("superblock: comes back as it was") {
    const Record record;
    const Superblock& s = record.superblock;
    for (const MemberRecord& member : s.members) {
        encode_superblock(s, member.uuid, record.bytes.span());
        Uuid device;
        const auto back = decode_superblock(record.bytes.span(), &device);
        REQUIRE(back);
        CHECK(device == member.uuid);
        CHECK(back->array == s.array);
        CHECK(back->name == s.name);
        CHECK(back->generation == s.generation);
        CHECK(back->complete_generation == s.complete_generation);
        CHECK(back->epoch == s.epoch);
        CHECK(back->epoch_key == s.epoch_key);
        CHECK(back->shards == s.shards);
        CHECK(back->state == s.state);
        CHECK(back->next_version == s.next_version);
        CHECK(back->next_band_sequence == s.next_band_sequence);
        CHECK(back->counters == s.counters);
        CHECK(same_bytes(back->members, s.members));
        CHECK(same_bytes(back->volumes, s.volumes));
        CHECK(same_bytes(back->extents, s.extents));
        // And all of it, parameters too: encoded again it is the same record.
        const Buffer again(record.bytes.size());
        encode_superblock(*back, member.uuid, again.span());
        CHECK(std::memcmp(again.data(), record.bytes.data(), again.size()) == 0);
    }
}

TEST_CASE("superblock: the first block alone tells which and how new") {
    const Record record;
    const auto first = record.bytes.span().first(kBlockBytes);
    REQUIRE(looks_like_superblock(first));
    const auto peek = peek_superblock(first);
    REQUIRE(peek);
    CHECK(peek->array == record.superblock.array);
    CHECK(peek->device == record.superblock.members[0].uuid);
    CHECK(peek->generation == 12);
    CHECK(peek->record_bytes == kRecordBytes);
    CHECK(peek->unit_bytes == MiB);
    first[100] ^= std::byte{1};
    CHECK_FALSE(peek_superblock(first));
    CHECK(looks_like_superblock(first));
    first[0] ^= std::byte{1};
    CHECK_FALSE(looks_like_superblock(first));
    CHECK_FALSE(looks_like_superblock(Buffer(kBlockBytes).span()));
    CHECK(record.decode().error().code == Errc::foreign_device);
}

TEST_CASE("superblock: as large as the lists can get") {
    Record record;
    Superblock& s = record.superblock;
    s.name = std::string(kNameBytes - 1, 'n');
    s.parameters.qlc_bytes = 10000 * MiB;
    s.extents.clear();
    s.volumes.clear();
    constexpr std::uint32_t kExtentsEach = kMaxExtents / kMaxVolumes;
    for (std::uint32_t i = 0; i < kMaxExtents; ++i) s.extents.push_back({i, 1});
    for (std::uint32_t i = 0; i < kMaxVolumes; ++i) {
        VolumeRecord v;
        v.uuid.bytes[0] = static_cast<std::uint8_t>(i);
        std::memset(v.name, 'v', kNameBytes - 1);
        v.name[0] = static_cast<char>('!' + i % 90);
        v.name[1] = static_cast<char>('!' + i / 90);
        v.first_extent = i * kExtentsEach;
        v.extents = kExtentsEach;
        v.bytes = kExtentsEach * kPageSpanBytes;
        v.state = 1;
        s.volumes.push_back(v);
    }
    record.encode();
    const auto back = record.decode();
    REQUIRE(back);
    CHECK(back->name == s.name);
    CHECK(same_bytes(back->volumes, s.volumes));
    CHECK(same_bytes(back->extents, s.extents));
}

TEST_CASE("superblock: every flipped byte is seen") {
    const Record record;
    unsigned unseen = 0;
    for (std::size_t i = 0; i < record.bytes.size(); ++i) {
        const auto flip = static_cast<std::byte>(1u << i % 8);
        record.bytes.data()[i] ^= flip;
        if (record.decode()) ++unseen;
        record.bytes.data()[i] ^= flip;
    }
    CHECK(unseen == 0);
    CHECK(record.decode());
}

TEST_CASE("superblock: a part of it is not enough") {
    const Record record;
    Uuid device;
    for (const std::size_t bytes : {4 * KiB, 20 * KiB, 44 * KiB, 124 * KiB, 128 * KiB - 512}) {
        INFO(bytes);
        const auto decoded = decode_superblock(record.bytes.span().first(bytes), &device);
        REQUIRE_FALSE(decoded);
        CHECK(decoded.error().code == Errc::damaged);
    }
}

// Appended in writes of strip_bytes, which a zoned drive makes durable in order.
TEST_CASE("superblock: its last write is missing, and reads as zeroes") {
    Record record;
    Uuid device;
    std::memset(record.bytes.data() + 124 * KiB, 0, 4 * KiB);
    const auto decoded = decode_superblock(record.bytes.span(), &device);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == Errc::damaged);
}

TEST_CASE("superblock: features and formats of later programs are refused as unsupported") {
    const Record record;
    for (int bit = 0; bit < 64; ++bit) {
        const std::uint64_t feature = std::uint64_t{1} << bit;
        REQUIRE(record.with(kIncompatibleAt, feature) == Errc::unsupported);
        REQUIRE(record.with(kReadOnlyCompatibleAt, feature) == Errc::unsupported);
    }
    for (const int other : {0, 1, 2, kFormatVersion + 1, 65535})
        CHECK(record.with(kFormatAt, static_cast<std::uint16_t>(other)) == Errc::unsupported);
    for (const int other : {0, kFormatDraft - 1, kFormatDraft + 1, 65535})
        CHECK(record.with(kDraftAt, static_cast<std::uint16_t>(other)) == Errc::unsupported);
    CHECK(record.with<std::uint8_t>(kLbaBitsAt, 40) == Errc::unsupported);
    CHECK(record.with<std::uint8_t>(kVersionBitsAt, 47) == Errc::unsupported);
    CHECK(record.with<std::uint8_t>(kEntryBytesAt, 16) == Errc::unsupported);
    // Fields that only later steps use.
    const auto refused = [&](std::size_t at) {
        INFO("byte " << at);
        const auto now = load<std::uint8_t>(record.bytes.data() + at);
        CHECK(record.with(at, static_cast<std::uint8_t>(now + 1)) == Errc::unsupported);
    };
    for (const std::size_t at : kUnusedAt) refused(at);
    for (const int other : {0, 3, 255})
        CHECK(record.with(kPmtCopiesAt, static_cast<std::uint8_t>(other)) == Errc::unsupported);
    for (const std::size_t at : kMemberUnusedAt) refused(kThirdMemberAt + at);
    for (const int other : {0, 3, 4, 5, 255}) {
        CHECK(record.with<std::uint8_t>(kThirdMemberAt + kMemberStateAt,
                                        static_cast<std::uint8_t>(other)) == Errc::unsupported);
    }
    store<std::uint64_t>(record.bytes.data() + kCompatibleAt, ~std::uint64_t{0});
    record.reseal();
    CHECK(record.decode());
}

TEST_CASE("superblock: one or two qlc drives may be out") {
    Superblock s = example();
    const auto refusal = [&]() -> std::optional<Errc> {
        const Buffer record(make_layout(s.parameters)->superblock_record_bytes);
        encode_superblock(s, s.members[0].uuid, record.span());
        Uuid device;
        const auto decoded = decode_superblock(record.span(), &device);
        if (decoded) CHECK(decoded->members[1].left_at == s.members[1].left_at);
        if (decoded) return std::nullopt;
        return decoded.error().code;
    };
    const auto take_out = [&](std::size_t member) {
        s.members[member].state = MemberState::out;
        s.members[member].in_sync = {7, 30};
        s.members[member].left_at = 31;
    };
    for (const std::size_t member : {1u, 3u}) {
        take_out(member);
        CHECK(refusal() == std::nullopt);
    }
    take_out(0);
    CHECK(refusal() == Errc::damaged);
    s = example();
    take_out(4);
    REQUIRE(s.members[4].role == DeviceRole::scm);
    CHECK(refusal() == Errc::damaged);
}

TEST_CASE("superblock: inconsistent values under right checksums are refused") {
    const Record record;
    CHECK(record.with<std::uint32_t>(kRecordBytesAt, 64 * KiB) == Errc::damaged);
    CHECK(record.with<std::uint8_t>(kPmtCopiesAt, 2) == Errc::damaged);  // its region is too short
    CHECK(record.with<std::uint64_t>(kStripBytesAt, 96 * KiB) == Errc::damaged);
    CHECK(record.with<std::uint64_t>(kStripBytesAt, 128 * KiB) == Errc::damaged);
    CHECK(record.with<std::uint64_t>(kBandBytesAt, MiB + 1) == Errc::damaged);
    CHECK(record.with<std::uint64_t>(kBandBytesAt, 0) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kDataStripsAt, 3) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kMaxShardsAt, 2) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kShardsAt, 0) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kShardsAt, 5) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kHeaderBlocksAt, 2) == Errc::damaged);
    CHECK(record.with<std::uint8_t>(kStateAt, 0) == Errc::damaged);
    CHECK(record.with<std::uint8_t>(kStateAt, 3) == Errc::damaged);
    CHECK(record.with<std::uint8_t>(kPbaBitsAt, 40) == Errc::damaged);
    CHECK(record.with<std::uint8_t>(kCrcBitsAt, 1) == Errc::damaged);
    for (const std::uint32_t members : {0u, 5u, 7u, 128u, 129u, ~0u}) {
        INFO(members << " members");
        CHECK(record.with(kMemberCountAt, members) == Errc::damaged);
    }
    CHECK(record.with<std::uint32_t>(kVolumeCountAt, kMaxVolumes + 1) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kVolumeCountAt, ~0u) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kExtentCountAt, kMaxExtents + 1) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kExtentCountAt, ~0u) == Errc::damaged);
    CHECK(record.with<std::uint32_t>(kExtentCountAt, 2) == Errc::damaged);
}

TEST_CASE("superblock: inconsistent lists are refused") {
    CHECK(changed([](Superblock& s) { s.members[1].index = 4; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.members[1].role = DeviceRole::scm; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.members[1].role = DeviceRole(9); }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.extents[0].pages = ~std::uint64_t{0}; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.extents[0].first_page = 1 << 30; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.extents[2].pages = 2; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.volumes[0].extents = 4; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.volumes[1].first_extent = 3; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.volumes[1].first_extent = ~0u; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.volumes[0].bytes += kBlockBytes; }) == Errc::damaged);
    CHECK(changed([](Superblock& s) { s.volumes[0].name[kNameBytes - 1] = 'x'; }) == Errc::damaged);
}
