// SPDX-License-Identifier: Apache-2.0
// The overlay against std::map: keys that fall on the same cells, at its fullest.
#include <catch2/catch.hpp>
#include <iterator>
#include <map>

#include "base/random.h"
#include "shard/overlay.h"

using namespace qlcshape;

namespace {

using Model = std::map<Lba, RamPlace>;

bool same(const Overlay& overlay, const Model& model, Lba lba) {
    const RamPlace* place = overlay.find(lba);
    const auto wanted = model.find(lba);
    if (wanted == model.end()) return place == nullptr;
    return place != nullptr && place->version == wanted->second.version &&
           place->segment == wanted->second.segment && place->slot == wanted->second.slot;
}

bool all_there(const Overlay& overlay, const Model& model) {
    if (overlay.size() != model.size()) return false;
    for (const auto& [lba, place] : model) {
        if (!same(overlay, model, lba)) return false;
    }
    return true;
}

RamPlace place_of(Random& random) {
    return {Version(random.below(1 << 20)), static_cast<std::uint32_t>(random.below(8)),
            static_cast<std::uint32_t>(random.below(255))};
}

}  // namespace

TEST_CASE("overlay: set then found then replaced then erased") {
    Overlay overlay(4);
    CHECK(overlay.find(Lba(0)) == nullptr);
    overlay.set(Lba(0), {Version(1), 2, 3});
    REQUIRE(overlay.find(Lba(0)) != nullptr);
    CHECK(overlay.find(Lba(0))->slot == 3);
    overlay.set(Lba(0), {Version(2), 4, 5});
    CHECK(overlay.size() == 1);
    CHECK(overlay.find(Lba(0))->version == Version(2));
    overlay.erase(Lba(1));
    CHECK(overlay.size() == 1);
    overlay.erase(Lba(0));
    CHECK(overlay.size() == 0);
    CHECK(overlay.find(Lba(0)) == nullptr);
}

TEST_CASE("overlay: random sets and erases agree with a map") {
    // Few cells, so that runs are long and wrap round; many keys, so that some are never there.
    const std::size_t most = GENERATE(1u, 2u, 5u, 16u, 100u, 255u);
    const std::uint64_t seed = GENERATE(1u, 2u, 3u);
    INFO("most " << most << " seed " << seed);
    Random random(seed);
    Overlay overlay(most);
    Model model;
    const std::uint64_t keys = 3 * most + 1;
    const std::uint64_t stride = std::uint64_t{1} << random.below(20);
    for (int i = 0; i < 3000; ++i) {
        const Lba lba(random.below(keys) * stride);
        const bool room = model.contains(lba) || model.size() < most;
        if (room && random.chance(3, 5)) {
            const RamPlace place = place_of(random);
            overlay.set(lba, place);
            model[lba] = place;
        } else {
            overlay.erase(lba);
            model.erase(lba);
        }
        REQUIRE(same(overlay, model, lba));
        REQUIRE(same(overlay, model, Lba(random.below(keys) * stride)));
        if (i % 64 == 0) REQUIRE(all_there(overlay, model));
    }
    while (!model.empty()) {
        const auto victim =
            std::next(model.begin(), static_cast<std::ptrdiff_t>(random.below(model.size())));
        overlay.erase(victim->first);
        model.erase(victim);
        REQUIRE(all_there(overlay, model));
    }
}

TEST_CASE("overlay: the largest addresses") {
    Overlay overlay(64);
    Model model;
    Random random(9);
    for (std::uint64_t i = 0; i < 64; ++i) {
        const Lba lba((std::uint64_t{1} << 38) - 1 - i);
        model[lba] = place_of(random);
        overlay.set(lba, model[lba]);
    }
    CHECK(all_there(overlay, model));
    CHECK(overlay.memory_bytes() > 0);
}
