// SPDX-License-Identifier: Apache-2.0
// Segments and records of the TPS that only a newer program can read. They are whole, and were
// acknowledged, so they must be refused by name: not taken for torn ones, and not misread.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>

#include "base/crc32c.h"
#include "core_array.h"
#include "format/segment_header.h"
#include "format/tps_record.h"
#include "recovery/check.h"
#include "recovery/segment_scan.h"
#include "small_layout.h"

using namespace qlcshape;

namespace {

// What a newer program may write into a header, and what the message calls it.
struct Newer {
    const char* name;
    void (*segment)(SegmentHeaderFixed&);
    void (*record)(TpsRecordFixed&);  // null: records have no such field
};
constexpr Newer kNewer[] = {
    {"entry format 2", [](SegmentHeaderFixed& f) { f.entry_format = 2; },
     [](TpsRecordFixed& f) { f.entry_format = 2; }},
    {"entry format 0", [](SegmentHeaderFixed& f) { f.entry_format = 0; },
     [](TpsRecordFixed& f) { f.entry_format = 0; }},
    {"contents of kind 1", [](SegmentHeaderFixed& f) { f.contents = 1; }, nullptr},
    {"encryption key 7", [](SegmentHeaderFixed& f) { f.key_id = 7; },
     [](TpsRecordFixed& f) { f.key_id = 7; }},
};

template <class Fixed>
void seal_again(Fixed& fixed) {
    fixed.crc = 0;
    fixed.crc = crc32c({reinterpret_cast<std::byte*>(&fixed), kBlockBytes});
}

bool says(const Error& error, const std::string& what) {
    INFO(error.message);
    CHECK(error.message.find(what) != std::string::npos);
    CHECK(error.message.find("newer release") != std::string::npos);
    return error.code == Errc::unsupported;
}

// The second segment of its user band is beyond every durable frontier.
struct NewerArray : CoreArray {
    ArrayLayout l;
    BandId band;
    std::uint64_t sequence = 0;

    NewerArray() {
        REQUIRE(open());
        REQUIRE(core->create_volume("v", 4 * MiB));
        l = core->layout();
        REQUIRE(l.header_blocks == 1);
        write_blocks(0, l.slots_per_segment, 5);
        write_blocks(100, l.slots_per_segment, 6);
        band = core->bands().user_frontier().band;
        sequence = core->bands().sequence_of(band);
    }
    Location place(std::uint32_t segment, std::uint32_t role) const {
        return home_of(l, band, segment, role);
    }
    std::byte* strip(std::uint32_t segment, std::uint32_t role) {
        const Location at = place(segment, role);
        return media[at.drive].data() + at.offset;
    }
    // With the parity that belongs to it: the header is in role 0, whose factor in Q is 1.
    void change_header(std::uint32_t segment, void (*change)(SegmentHeaderFixed&)) {
        std::byte* header = strip(segment, 0);
        const Bytes before(header, header + kBlockBytes);
        SegmentHeaderFixed& fixed = SegmentHeader(l, header).fixed();
        change(fixed);
        seal_again(fixed);
        for (const std::uint32_t role : {l.p.data_strips, l.p.data_strips + 1}) {
            for (std::size_t i = 0; i < kBlockBytes; ++i)
                strip(segment, role)[i] ^= before[i] ^ header[i];
        }
    }
    void lose_header(std::uint32_t segment) { std::memset(strip(segment, 0), 0x55, kBlockBytes); }
};

}  // namespace

TEST_CASE("newer format: a segment's header is intact and not valid") {
    const Newer& newer = kNewer[GENERATE(range(0, 4))];
    NewerArray a;
    a.change_header(0, newer.segment);
    const SegmentHeader header(a.l, a.strip(0, 0));
    const Uuid& uuid = a.core->array().array;
    CHECK(header.intact(uuid, a.band, 0));
    CHECK(header.unknown() == newer.name);
    CHECK_FALSE(header.valid(uuid, a.band, 0));
    CHECK(SegmentHeader(a.l, a.strip(1, 0)).unknown().empty());
    a.cut();
}

TEST_CASE("newer format: a scan of segments names it, also where only parity has the header") {
    const Newer& newer = kNewer[GENERATE(range(0, 4))];
    const bool lost = GENERATE(false, true);
    NewerArray a;
    a.change_header(0, newer.segment);
    if (lost) a.lose_header(0);
    IoQueue queue;
    SegmentScan scan(a.core->array(), queue);
    const Status read = scan.headers(a.band, a.sequence, 0, 2, [](auto, const auto*) {});
    CHECK(read.has_value() == lost);
    if (!read) CHECK(says(read.error(), newer.name));
    CHECK(scan.prove(a.band, a.sequence, 0) == Proof::unknown);
    CHECK(says(scan.unknown(), newer.name));
    const Location at = a.place(0, 0);
    CHECK(scan.unknown().message.starts_with(a.options.devices[at.drive].path + " at offset " +
                                             std::to_string(at.offset)));
    CHECK(scan.rebuilt_header(a.band, a.sequence, 0) == nullptr);
    CHECK(says(scan.lost(a.band, 0, "its header", ""), newer.name));
    // Of another life of the band it is nothing at all.
    CHECK(scan.headers(a.band, a.sequence + 1, 0, 2, [](auto, const auto*) {}));
    CHECK(scan.prove(a.band, a.sequence + 1, 0) == Proof::unproved);
    CHECK(scan.prove(a.band, a.sequence, 1) == Proof::whole);
    a.cut();
}

TEST_CASE("newer format: recovery refuses a segment beyond the frontier, and keeps it") {
    const Newer& newer = kNewer[GENERATE(range(0, 4))];
    const bool lost = GENERATE(false, true);
    NewerArray a;
    a.cut();
    a.change_header(1, newer.segment);
    if (lost) a.lose_header(1);
    a.options.read_only = GENERATE(false, true);
    const std::vector<Bytes> before = a.media;
    const Status opened = a.open();
    REQUIRE_FALSE(opened);
    CHECK(says(opened.error(), newer.name));
    CHECK(a.media == before);
}

TEST_CASE("newer format: recovery refuses a record of the TPS, and keeps it") {
    const Newer& newer = kNewer[GENERATE(0, 1, 3)];
    const bool wider = GENERATE(false, true);
    NewerArray a;
    a.write_blocks(300, 1, 7);
    const std::uint64_t ring = a.l.tps_ring_offset(1, 0);
    a.cut();
    std::byte* at = a.media[a.l.p.qlc_count].data() + ring;
    TpsRecord record({at, 4 * kBlockBytes});
    const TpsRecordFixed same = record.fixed();
    const auto intact = [&] {
        return record.intact(same.array, same.epoch, same.epoch_key, same.shard, same.position);
    };
    REQUIRE(intact());
    REQUIRE(record.fixed().header_blocks == 1);
    newer.record(record.fixed());
    if (wider) {  // its entries may take more blocks than ours would
        record.fixed().header_blocks = 2;
        record.fixed().crc = 0;
        record.fixed().crc = crc32c({at, 2 * kBlockBytes});
    } else {
        seal_again(record.fixed());
    }
    CHECK(intact());
    CHECK(record.unknown() == newer.name);
    a.options.read_only = GENERATE(false, true);
    const std::vector<Bytes> before = a.media;
    const Status opened = a.open();
    REQUIRE_FALSE(opened);
    CHECK(says(opened.error(), newer.name));
    CHECK(opened.error().message.find("record 1") != std::string::npos);
    CHECK(a.media == before);
}

TEST_CASE("newer format: check names it, and nothing that follows from it") {
    const Newer& newer = kNewer[GENERATE(range(0, 4))];
    const bool lost = GENERATE(false, true);
    NewerArray a;
    REQUIRE(a.close());
    a.change_header(0, newer.segment);
    if (lost) a.lose_header(0);
    IoQueue queue;
    const auto found = discover(a.drives(), {}, queue);
    REQUIRE(found);
    const auto report = check_array(context_of(*found), found->superblock, queue, nullptr);
    REQUIRE(report);
    CHECK(report->clean_close);
    REQUIRE(report->problems.size() == 1);
    CHECK(says({Errc::unsupported, report->problems[0]}, newer.name));
}
