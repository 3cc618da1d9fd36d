// SPDX-License-Identifier: Apache-2.0
// Which fault meets which transfer: policy alone, the world does it. docs/faults.md tells the
// rules: what can lose bytes happens on weak drives, at most two of the QLC drives and one of the
// SCM drives of a history (and in the PMT, which is not redundant but can be rebuilt); what is
// reported at once happens anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/random.h"
#include "format/layout.h"
#include "sim/sim_counts.h"
#include "sim/sim_media.h"

namespace qlcshape::sim {

enum class Profile : std::uint8_t {
    cuts,
    away,
    wide,
    media,
    drives,
    older,
    beyond,
    all,
    loop,
    sequences
};

const char* to_string(Profile profile);
std::string profile_names();  // of all, with commas
bool profile_of(const std::string& name, Profile& profile);

enum class Region : std::uint8_t { superblock, band_table, tps, pmt, bands };

class Injector {
  public:
    Injector(Profile profile, Random& random) : profile_(profile), random_(random) {}

    // Known once the array was created; nothing is injected before.
    void set_layout(const ArrayLayout& layout) { layout_ = layout; }
    const ArrayLayout& layout() const { return layout_; }
    Region region_of(const Media& media, std::uint64_t offset) const;
    // The first and last byte of that region of the drive.
    std::uint64_t region_begin(const Media& media, Region region) const;
    std::uint64_t region_end(const Media& media, Region region) const;

    // Draws what this opening will meet; nothing if `quiet`.
    void begin_opening(bool quiet);
    // No more of it.
    void rest() { active_ = false; }

    // A delay in events, and whether the transfer ends in ETIMEDOUT after it.
    std::uint64_t delay(const Media& media, const Io& io, bool& times_out);
    Fault choose(const Media& media, const Io& io);

    // Something of this opening may have made the engine stop, by design.
    bool may_stop() const { return may_stop_; }
    void note_may_stop() { may_stop_ = true; }

    bool media_faults() const { return profile_ == Profile::media || profile_ == Profile::all; }
    bool drive_faults() const { return profile_ == Profile::drives || profile_ == Profile::all; }
    Profile profile() const { return profile_; }
    FaultCounts& counts() { return counts_; }

  private:
    bool possible(Fault fault, const Media& media, const Io& io) const;
    bool stops(Fault fault, const Media& media, const Io& io) const;

    const Profile profile_;
    Random& random_;
    ArrayLayout layout_;
    std::array<bool, kFaults> on_{};
    std::uint64_t one_in_ = 0;
    std::uint32_t left_ = 0;
    std::uint32_t slow_drive_ = UINT32_MAX;
    bool active_ = false;
    bool may_stop_ = false;
    FaultCounts counts_;
};

}  // namespace qlcshape::sim
