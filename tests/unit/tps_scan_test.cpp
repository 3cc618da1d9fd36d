// SPDX-License-Identifier: Apache-2.0
// Which records of the TPS count after a crash, and what is a loss that must be named.
#include "journal/tps_scan.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "base/crc32c.h"
#include "format/tps_record.h"
#include "two_mirrors.h"

using namespace qlcshape;

namespace {

constexpr std::uint64_t kRecordBytes = 3 * kBlockBytes;  // a header and two blocks
constexpr std::uint64_t kSecond = 64;                    // after the LBA of the first block
constexpr std::uint64_t kRecords = 9;                    // sequences 1 to 9
constexpr std::uint64_t kAcked = 5;                      // as the newest record says
constexpr std::uint64_t kTail = 2;

// A ring on two mirrors.
struct MirroredRing : TwoMirrors {
    MirroredRing() {
        array.epoch = 3;
        array.epoch_key = 77;
        for (Bytes& bytes : media) {
            for (std::uint64_t sequence = 1; sequence <= kRecords; ++sequence)
                write(bytes, sequence);
        }
    }
    std::uint64_t place_of(std::uint64_t sequence) const {
        return array.layout.tps_ring_offset(1, 0) + (sequence - 1) * kRecordBytes;
    }
    void write(Bytes& bytes, std::uint64_t sequence) const {
        std::byte* at = bytes.data() + place_of(sequence);
        std::memset(at + kBlockBytes, static_cast<int>(sequence), kBlockBytes);
        std::memset(at + 2 * kBlockBytes, static_cast<int>(sequence + kSecond), kBlockBytes);
        TpsRecord record({at, kRecordBytes});
        TpsRecordFixed& f = record.fixed();
        f.epoch = array.epoch;
        f.epoch_key = array.epoch_key;
        f.sequence = sequence;
        f.position = (sequence - 1) * kRecordBytes;
        f.acked_through = sequence < kRecords ? sequence / 2 : kAcked;
        f.tail = sequence < kRecords ? 1 : kTail;
        f.payload_blocks = f.entries = 2;
        f.band = static_cast<std::uint32_t>(sequence);
        f.band_sequence = 20 + sequence;
        f.frontier = static_cast<std::uint32_t>(40 + sequence);
        record.set_entry(0, {EntryKind::data, Lba(sequence), Version(100 + sequence),
                             crc32c({at + kBlockBytes, kBlockBytes})});
        record.set_entry(1, {EntryKind::data, Lba(sequence + kSecond), Version(50 + sequence),
                             crc32c({at + 2 * kBlockBytes, kBlockBytes})});
        record.seal();
    }
    void lose(std::initializer_list<int> mirrors, std::uint64_t sequence, bool header = false) {
        for (const int m : mirrors)
            media[m][place_of(sequence) + (header ? 0 : kBlockBytes) + 9] ^= std::byte{1};
    }
};

}  // namespace

TEST_CASE("tps scan: from the tail on all that is there counts") {
    MirroredRing ring;
    const auto found = scan_tps(ring.array, ring.queue);
    REQUIRE(found);
    CHECK(found->records == kRecords - kTail + 1);
    CHECK(found->entries.front().entry.lba == Lba(kTail));
    CHECK(found->max_version == 100 + kRecords);
    for (const TpsEntry& t : found->entries)
        CHECK(t.data[17] == static_cast<std::byte>(t.entry.lba.value));
}

// Also those before the tail: what they say of a band still holds.
TEST_CASE("tps scan: every record tells how far a band was durable") {
    MirroredRing ring;
    const auto found = scan_tps(ring.array, ring.queue);
    REQUIRE(found);
    REQUIRE(found->frontiers.size() == kRecords);
    for (std::uint64_t i = 0; i < kRecords; ++i) {
        CHECK(found->frontiers[i].band == i + 1);
        CHECK(found->frontiers[i].sequence == 21 + i);
        CHECK(found->frontiers[i].frontier == 41 + i);
    }
}

TEST_CASE(
    "tps scan: what can't be read on one mirror the other has, and on both it may be a loss") {
    MirroredRing ring;
    bool both = false;
    ring.power.fails = [&](const Io& io) {
        return io.offset == ring.array.layout.tps_ring_offset(1, 0) &&
               (both || io.device->path() == "scm1");
    };
    const auto one = scan_tps(ring.array, ring.queue);
    REQUIRE(one);
    CHECK(one->records == kRecords - kTail + 1);
    both = true;
    const auto none = scan_tps(ring.array, ring.queue);
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Errc::media_error);
    CHECK(none.error().message.find("scm0") != std::string::npos);
}

TEST_CASE("tps scan: what one mirror lost the other has") {
    MirroredRing ring;
    for (std::uint64_t sequence = 1; sequence <= kRecords; ++sequence)
        ring.lose({static_cast<int>(sequence % 2)}, sequence, sequence % 3 == 0);
    const auto found = scan_tps(ring.array, ring.queue);
    REQUIRE(found);
    REQUIRE(found->records == kRecords - kTail + 1);
    for (const TpsEntry& t : found->entries)
        CHECK(t.data[17] == static_cast<std::byte>(t.entry.lba.value));
}

// On all mirrors, of the header or of the data, and on each in another way.
TEST_CASE("tps scan: a gap is a loss through what was acknowledged, and the end behind it") {
    const bool header = GENERATE(false, true);
    const bool each_otherwise = GENERATE(false, true);
    const std::uint64_t gap = GENERATE(range(+kTail, +kRecords));
    CAPTURE(header, each_otherwise, gap);
    MirroredRing ring;
    ring.lose({0}, gap, header);
    ring.lose({1}, gap, header != each_otherwise);
    const auto found = scan_tps(ring.array, ring.queue);
    if (gap <= kAcked) {
        REQUIRE_FALSE(found);
        INFO(found.error().message);
        CHECK(found.error().code == Errc::damaged);
        CHECK(found.error().message.find("record " + std::to_string(gap)) != std::string::npos);
    } else {
        REQUIRE(found);
        CHECK(found->records == gap - kTail);
        CHECK(found->max_version == 100 + kRecords);  // not to be given out again
    }
}

TEST_CASE("tps scan: a gap before the tail is nothing") {
    MirroredRing ring;
    ring.lose({0, 1}, kTail - 1);
    const auto found = scan_tps(ring.array, ring.queue);
    REQUIRE(found);
    CHECK(found->records == kRecords - kTail + 1);
}

// All that tells of it is in the record that is lost: nothing shows that it was there.
TEST_CASE("tps scan: the newest record, lost on all mirrors, ends the log before it") {
    MirroredRing ring;
    ring.lose({0, 1}, kRecords, true);
    const auto found = scan_tps(ring.array, ring.queue);
    REQUIRE(found);
    CHECK(found->records == kRecords - 1);
    CHECK(found->entries.front().entry.lba == Lba(1));
}
