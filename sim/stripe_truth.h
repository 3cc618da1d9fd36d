// SPDX-License-Identifier: Apache-2.0
// Which segments count by what is durable on the drives, and which of their strips are right: an
// oracle of its own, which uses neither recovery's scan nor `check` nor src/raid6. It knows the
// formats of docs/disk_format.md and two rules.
//
// A segment counts if its band does, and it is below the highest frontier that the band table, a
// header of the band or a TPS record names: for everything before a frontier was durable when that
// was written. A strip is right if each of its blocks can be read and is what the header's checksum
// says, or what P and Q are of such blocks.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "placement/array_context.h"
#include "sim/gf_truth.h"
#include "sim/sim_media.h"

namespace qlcshape::sim {

// A band that the band table says is open or closed.
struct BandTruth {
    BandId band;
    std::uint64_t sequence = 0;
    std::uint64_t epoch = 0;
    bool open = false;
    std::uint32_t in_table = 0;  // segments that count by the band table alone
    std::uint32_t segments = 0;  // that count
};

struct SegmentTruth {
    bool lost = false;                 // P and Q don't give back everything in it
    std::vector<std::uint32_t> wrong;  // if not lost: the roles of strips that are not right
    bool right() const { return !lost && wrong.empty(); }
};

// Nothing of the drives' caches is looked at, so a power cut now changes nothing of it.
class StripeTruth {
  public:
    StripeTruth(const ArrayLayout& layout, const std::vector<Media*>& media);

    // By the newest superblock on any drive; none: there is no whole one.
    std::optional<std::uint64_t> epoch() const { return epoch_; }
    std::optional<std::uint64_t> generation() const { return generation_; }  // of that superblock
    // Likewise: which SCM drives are out, by number.
    const std::set<std::uint32_t>& scm_out() const { return scm_out_; }
    // Those of epochs above epoch() are void: their recovery did not come through.
    std::vector<BandTruth> bands() const;
    // Of one of them; where no drive has the column, nowhere.
    Location locate(BandId band, std::uint32_t segment, std::uint32_t role) const {
        return array_.locate(band, segment, role);
    }
    SegmentTruth look(const BandTruth& band, std::uint32_t segment) const;
    // As it is read.
    bool has_header(const BandTruth& band, std::uint32_t segment) const;

  private:
    void find_superblock();
    void raise_frontiers(std::vector<BandTruth>& bands) const;

    const ArrayLayout& l_;
    std::vector<Media*> qlc_, scm_;
    ArrayContext array_;
    std::optional<std::uint64_t> epoch_, generation_;
    std::set<std::uint32_t> scm_out_;
};

}  // namespace qlcshape::sim
