// SPDX-License-Identifier: Apache-2.0
#include "sim/tps_truth.h"

#include <algorithm>

#include "format/tps_record.h"

namespace qlcshape::sim {

bool TpsTruth::Ring::whole(std::uint64_t sequence) const {
    const auto it = records.find(sequence);
    return it != records.end() && std::ranges::any_of(it->second, &Copy::whole);
}

bool TpsTruth::Ring::loss() const {
    for (std::uint64_t sequence = tail; sequence <= acked; ++sequence) {
        if (!whole(sequence)) return true;
    }
    return false;
}

std::uint64_t TpsTruth::Ring::end() const {
    std::uint64_t sequence = tail;
    while (whole(sequence)) ++sequence;
    return sequence;
}

bool TpsTruth::loss() const { return std::ranges::any_of(rings, &Ring::loss); }

bool TpsTruth::has_all_of(const TpsTruth& before) const {
    for (std::size_t i = 0; i < rings.size(); ++i) {
        if (rings[i].tail > before.rings[i].tail || rings[i].end() < before.rings[i].end())
            return false;
    }
    return true;
}

TpsTruth look_at_tps(const ArrayContext& array, const std::vector<Media*>& scm) {
    TpsTruth truth;
    truth.rings.resize(array.shards);
    const std::uint64_t bytes = array.layout.tps_ring_bytes(array.shards);
    for (std::uint32_t shard = 0; shard < array.shards; ++shard) {
        TpsTruth::Ring& ring = truth.rings[shard];
        const std::uint64_t begin = array.layout.tps_ring_offset(array.shards, shard);
        for (Media* m : scm) {
            for (std::uint64_t at = 0; at < bytes; at += kBlockBytes) {
                const TpsRecord record({m->bytes.get() + begin + at, bytes - at});
                if (!record.valid(array.array, array.epoch, array.epoch_key, shard, at)) continue;
                const TpsRecordFixed& f = record.fixed();
                ring.acked = std::max(ring.acked, f.acked_through);
                ring.tail = std::max(ring.tail, f.tail);
                truth.frontiers.push_back({f.band, f.band_sequence, f.frontier});
                const bool whole = record.bytes() <= bytes - at && record.payload_whole();
                ring.records[f.sequence].push_back({m, begin + at, record.bytes(), whole});
            }
        }
    }
    return truth;
}

}  // namespace qlcshape::sim
