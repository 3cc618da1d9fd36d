// SPDX-License-Identifier: Apache-2.0
// What the TPS on media says was acknowledged: an oracle of its own, which does not use the scan
// that recovery makes. It knows the format of one record, and the rule of docs/disk_format.md and
// docs/write_path.md: of a ring count the records from the highest tail that any header names, in
// order, up to the first that is whole on no mirror; missing one through the highest
// acknowledged-through is a loss that must be named.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "placement/array_context.h"
#include "sim/sim_media.h"

namespace qlcshape::sim {

struct TpsTruth {
    struct Copy {
        Media* media = nullptr;
        std::uint64_t offset = 0, bytes = 0;
        bool whole = false;
    };
    struct Ring {
        std::uint64_t acked = 0, tail = 1;
        std::map<std::uint64_t, std::vector<Copy>> records;  // by sequence, on any mirror

        bool whole(std::uint64_t sequence) const;
        bool loss() const;  // of what is known to have been acknowledged
        // The end of those that count, if there is no loss.
        std::uint64_t end() const;
    };
    std::vector<Ring> rings;  // by shard
    // Durable segments of bands, as any header names them.
    struct Frontier {
        std::uint32_t band = 0;
        std::uint64_t sequence = 0;
        std::uint32_t segments = 0;
    };
    std::vector<Frontier> frontiers;

    bool loss() const;
    // Whether all that counted in `before` still counts here.
    bool has_all_of(const TpsTruth& before) const;
};

// `array`: as of the epoch that crashed. Nothing of the drives' caches is looked at.
TpsTruth look_at_tps(const ArrayContext& array, const std::vector<Media*>& scm);

}  // namespace qlcshape::sim
