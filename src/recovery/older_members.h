// SPDX-License-Identifier: Apache-2.0
// Members that went back in time: a drive that lost its write cache, a virtual disk that was rolled
// back, an image copied back. Their superblocks may be as new as the others'; what lies on the
// drives together shows it. Blocks, on the caller's thread, and only reads.
//
// Each check rests on an order of writes to different drives: if the later one is there and the
// earlier is not, a drive lost it.
//
//   durable first, on            durable later, on          if the second is there alone
//   band opened: SCM             its strips: QLC            refuse_older_scm
//   band erased: SCM             discard, new life: QLC     refuse_older_scm
//   TPS record: SCM              segment naming it: QLC     refuse_older_tps
//   strips of a segment: QLC     frontier beyond it         look_at_newest_segments
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "format/band_page.h"
#include "placement/array_context.h"
#include "recovery/segment_scan.h"

namespace qlcshape {

// A band's opening is durable on every scm drive before the band's first strip, and its erasing
// before it is discarded. So where the QLC drives have a later life of a band than the band table
// knows, or none of a band that counts, every scm drive is older than they are: stale_device, which
// names them. A later life lies where the band table says only if the band's slots are its own;
// otherwise the headers in all slots are read. `records`: by band, as loaded; those of epochs above
// `epoch` never began.
Status refuse_older_scm(const ArrayContext& array, const std::vector<BandRecord>& records,
                        std::uint64_t epoch, IoQueue& queue);

// A shard's segment says which of its TPS records were acknowledged before it, and a record is
// never overwritten before a newer one is there. `newest`: by shard, the newest record that a
// mirror has; `told`: what segments say, of the shards that have any.
Status refuse_older_tps(const ArrayContext& array, const std::vector<std::uint64_t>& newest,
                        const std::map<std::uint32_t, std::uint64_t>& told);

// What a QLC drive that went back in time lacks is what was written last, but for the segments that
// were under way then: those may be there or not. So the newest segments of each stream are proved,
// four more than can be under way at once. A drive whose strip is wrong in each of the newest four
// is refused as older than the others. Otherwise all that it may lack was looked at, and the result
// says of each band from which segment on it must be committed again. `records`: by band, how many
// segments count.
// `only`: no other drive is refused.
Result<std::map<std::uint32_t, std::uint32_t>> look_at_newest_segments(
    const ArrayContext& array, const std::vector<BandRecord>& records, std::uint64_t epoch,
    SegmentScan& scan, std::optional<std::uint32_t> only = std::nullopt);

// Whether recovery can commit so many blocks, and leave a band for each GC thread to turn round in.
bool room_to_commit(const ArrayLayout& layout, const std::vector<BandRecord>& records,
                    std::size_t blocks);

}  // namespace qlcshape
