// SPDX-License-Identifier: Apache-2.0
// Damages the metadata of an array that is not open: superblocks, band table, snapshot records,
// TPS, PMT pages, segment headers, blocks of tombstones. Bits are flipped, blocks zeroed, filled
// with garbage, swapped with another of their kind, or replaced by what stood there earlier. Then
// tells, from the media alone, what of that may be noticed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "meta/superblock_store.h"
#include "placement/array_context.h"
#include "sim/sim_world.h"
#include "sim/tps_truth.h"

namespace qlcshape::sim {

// What the damage did to an array. Snapshot records are not in it: an array must come through with
// an older one or none, as after a crash before one was written.
struct Harm {
    bool clean = false;        // it was closed in order
    bool within = false;       // on no more drives than redundancy covers, but for the PMT
    bool superblocks = false;  // one was hit
    // Not within: the newest whole copy is on no drive any more of ...
    bool superblock_lost = false;
    bool band_page_lost = false;
    bool bits_lost = false;             // of the table's bitmap: older copies are there
    bool tps_lost = false;              // a record that counts
    bool tps_loss_shows = false;        // and what is left shows it: no opening may pass over that
    bool stripes = false;               // a strip was hit, on whatever drive
    bool stripe_lost = false;           // more than two drives of one stripe were hit
    bool pmt = false;                   // a page of the table was hit
    std::set<std::uint64_t> pmt_stale;  // pages that are whole, but older ones
    std::string text;                   // for messages

    // An older version of a block may be the newest there still is, or can't be told from it.
    bool excuses_older(bool crashed) const {
        return superblock_lost || band_page_lost || bits_lost ||
               (crashed && (tps_lost || stripe_lost));
    }
    bool excuses_errors(bool crashed) const { return excuses_older(crashed) || stripe_lost; }
    bool excuses_refusal(bool crashed) const { return superblocks || excuses_older(crashed); }
};

class Damage {
  public:
    Damage(World& world, const std::vector<Media*>& media);

    // What is on media now is "earlier".
    void remember();
    // The array is not open.
    Harm apply();

  private:
    struct Place {
        Media* media = nullptr;
        std::uint64_t offset = 0;
        std::uint64_t stripe = UINT64_MAX;
    };
    using Block = std::vector<std::byte>;
    // The newest whole copies that are on any drive.
    struct Newest {
        std::uint64_t superblock = 0;                       // its generation
        std::map<std::uint64_t, std::uint64_t> band_pages;  // likewise, by number
        std::map<std::uint64_t, std::uint64_t> bit_pages;   // likewise
        TpsTruth tps;
        std::map<std::uint64_t, Block> pmt_pages;  // by number
    };

    void find_array();
    Newest look();
    Harm compare(const Newest& before, const Newest& after) const;
    void choose_drives();
    bool chosen(const Media& media) const { return chosen_.contains(&media); }
    std::vector<Place> superblock_records() const;
    std::vector<Place> superblock_places() const;
    std::vector<Place> scm_places(std::uint64_t begin, std::uint64_t bytes) const;
    std::vector<Place> tps_places() const;
    void lose_record(const TpsTruth& tps);
    std::vector<Place> pmt_places() const;
    std::vector<Place> stripe_places(bool tombstones) const;
    std::byte* at(const Place& p) const { return p.media->bytes.get() + p.offset; }
    bool damage_kind(const char* name, const std::vector<Place>& places);
    void damage_one(const Place& place, const std::vector<Place>& all);

    World& world_;
    Random& rng_;
    std::vector<Media*> qlc_, scm_;
    std::map<const Media*, Block> earlier_;
    Discovery discovery_;
    ArrayContext array_;  // as of the newest epoch
    std::unique_ptr<IoQueue> queue_;
    std::set<const Media*> chosen_;
    std::map<std::uint64_t, std::set<const Media*>> stripes_hit_;
    Harm harm_;
};

}  // namespace qlcshape::sim
