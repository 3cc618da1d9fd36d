// SPDX-License-Identifier: Apache-2.0
// What recovery keeps of what it found, where it may not keep all.
#include <algorithm>
#include <catch2/catch.hpp>

#include "recovery/findings.h"

using namespace qlcshape;

namespace {

Finding found(std::uint64_t lba, std::uint64_t version, std::uint64_t sequence = 5,
              std::uint32_t blocks = 1) {
    return {Lba(lba), blocks, Version(version), sequence, PmtEntry{}};
}

bool has(Findings& findings, const Finding& wanted) {
    return std::ranges::any_of(findings.list(), [&](const Finding& f) {
        return f.lba == wanted.lba && f.blocks == wanted.blocks && f.version == wanted.version &&
               f.sequence == wanted.sequence;
    });
}

}  // namespace

TEST_CASE("findings: all are kept while there is room, which is shared") {
    std::atomic<std::size_t> room{10'000};
    Findings one(room), two(room);
    for (std::uint64_t i = 0; i < 5000; ++i) one.add(found(1, i));
    two.add(found(1, 1));
    CHECK(one.list().size() == 5000);
    CHECK(room == 0);
    for (std::uint64_t i = 0; i < 1807; ++i) two.add(found(2, i));
    CHECK(two.list().size() == 1808);
    CHECK_FALSE(one.too_many());
    CHECK_FALSE(two.too_many());
}

TEST_CASE("findings: without room superseded ones go, in memory and in segments apart") {
    std::atomic<std::size_t> room{32};
    Findings findings(room);
    findings.add(found(7, 100));
    findings.add(found(7, 300, 9));
    findings.add(found(7, 300, 8));  // GC's source, and its copy before
    findings.add(found(7, 400, Findings::kInMemory));
    findings.add(found(7, 200, Findings::kInMemory));
    findings.add(found(7, 150, 5, 64));  // several that were trimmed together
    for (std::uint64_t i = 0; i < 26; ++i) findings.add(found(8, 1000 + i));
    REQUIRE(findings.list().size() == 32);
    findings.add(found(9, 1));
    CHECK_FALSE(findings.too_many());
    CHECK(findings.list().size() == 5);
    CHECK(has(findings, found(7, 300, 8)));
    CHECK(has(findings, found(7, 400, Findings::kInMemory)));
    CHECK(has(findings, found(7, 150, 5, 64)));
    CHECK(has(findings, found(8, 1025)));
    CHECK(has(findings, found(9, 1)));
}

TEST_CASE("findings: too many that nothing supersedes are told") {
    std::atomic<std::size_t> room{32};
    Findings findings(room);
    for (std::uint64_t i = 0; i < 32; ++i) findings.add(found(i, 1));
    CHECK_FALSE(findings.too_many());
    findings.add(found(32, 1));
    CHECK(findings.too_many());
}

TEST_CASE("findings: the newest is the best, and of GC's source and its copy the source") {
    const bool source_first = GENERATE(true, false);
    Best best;
    best.consider(found(7, 100, 9));
    best.consider(found(7, 300, source_first ? 4 : 6));
    best.consider(found(7, 300, source_first ? 6 : 4));
    best.consider(found(7, 200, 2));
    CHECK(best.version == 300);
    CHECK(best.sequence == 4);
}

// GC took a block for lost, the power went, and a later GC could read it.
TEST_CASE("findings: of one version data wins over lost, whichever band is older") {
    const bool data_first = GENERATE(true, false);
    const std::uint64_t lost_in = GENERATE(4, 6);
    Finding data = found(7, 300, 5), lost = found(7, 300, lost_in);
    data.entry.bits = PmtEntry::kMapped | 9;
    lost.entry = PmtEntry::make_unmapped(Unmapped::poisoned, Version(300));
    Best best;
    best.consider(data_first ? data : lost);
    best.consider(data_first ? lost : data);
    CHECK(best.entry == data.entry);

    std::atomic<std::size_t> room{2};
    Findings findings(room);
    for (int i = 0; i < 2; ++i) findings.add(i == (data_first ? 0 : 1) ? data : lost);
    findings.add(found(7, 1, 5));
    REQUIRE(findings.list().size() == 2);
    CHECK(findings.list().front().entry == data.entry);
}

// Else every further one would have all sorted again.
TEST_CASE("findings: after too many nothing more is looked at") {
    std::atomic<std::size_t> room{32};
    Findings findings(room);
    for (std::uint64_t i = 0; i < 30; ++i) findings.add(found(i, 1));
    for (std::uint64_t i = 0; i < 3; ++i) findings.add(found(0, 2 + i));
    CHECK(findings.too_many());
    const std::size_t kept = findings.list().size();
    for (std::uint64_t i = 0; i < 100; ++i) findings.add(found(1, 2 + i));
    CHECK(findings.list().size() == kept);
}
