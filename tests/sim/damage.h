// Damages the metadata of an array that is not open: superblocks, band table, TPS, PMT pages,
// segment headers, blocks of tombstones. Bits are flipped, blocks zeroed, filled with garbage,
// swapped with another of their kind, or replaced by what stood there earlier. Then tells, from the
// media alone, whether redundancy still covers it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "device/array_context.h"
#include "format/superblock.h"
#include "sim_world.h"

namespace qlcshape::sim {

// What the damage did to an array.
struct Harm {
    bool within = false;           // drives were chosen so that redundancy covers all but PMT pages
    bool superblocks = false;      // one was hit: a refusal to open is right
    bool superblock_lost = false;  // the newest is on no drive any more
    bool band_page_lost = false;   // the newest copy of a page of the band table, likewise
    bool tps_lost = false;         // a record that counted is whole on no mirror any more
    bool pmt = false;              // a page of the table was hit
    bool pmt_stale = false;        // ... and is now whole, but an older one
    bool stripe_lost = false;      // more than two drives of one stripe were hit

    // An older version of a block may be the newest there still is; or can't be told from it.
    bool excuses_older(bool clean) const {
        return superblock_lost || band_page_lost || (clean ? pmt_stale : tps_lost || stripe_lost);
    }
    bool excuses_refusal(bool clean) const {
        return superblocks || band_page_lost || (!clean && (tps_lost || stripe_lost));
    }
    bool excuses_media_errors(bool clean) const {
        return excuses_refusal(clean) || stripe_lost || (clean && pmt);
    }
    std::string text;  // for messages
};

class Damage {
  public:
    Damage(World& world, std::vector<Media*> qlc, std::vector<Media*> scm)
        : world_(world), rng_(world.random()), qlc_(std::move(qlc)), scm_(std::move(scm)) {}

    // Now is "earlier".
    void remember();
    // The array is closed, or its power was cut.
    Harm apply();

  private:
    struct Place {
        Media* media = nullptr;
        std::uint64_t offset = 0, bytes = 0;
        std::uint64_t stripe = UINT64_MAX;
    };
    struct Newest {
        std::uint64_t superblock = 0;
        std::map<std::uint64_t, std::uint64_t> band_pages;  // page: generation
        std::uint64_t tps_entries = 0;
        bool tps_whole = true;
        std::map<std::uint64_t, std::vector<std::byte>>
            pmt_pages;  // by number: those that are whole
    };

    bool find_array();
    Newest look();
    void choose_drives(bool within);
    bool mine(const Media& media) const { return chosen_.contains(&media); }
    std::vector<Place> superblock_places() const;
    std::vector<Place> band_places() const;
    std::vector<Place> tps_places();
    std::vector<Place> pmt_places() const;
    std::vector<Place> stripe_places(bool tombstones);
    std::byte* at(const Place& p) const { return p.media->bytes.data() + p.offset; }
    void damage_kind(const char* name, std::vector<Place> places);
    void damage_one(const Place& place, const std::vector<Place>& all);
    void note(const Place& place);

    World& world_;
    Random& rng_;
    std::vector<Media*> qlc_, scm_;
    std::map<const Media*, std::vector<std::byte>> earlier_;
    Superblock superblock_;
    ArrayContext array_;
    std::vector<std::unique_ptr<Device>> devices_;
    std::set<const Media*> chosen_;
    std::map<std::uint64_t, std::set<const Media*>> stripes_hit_;
    Harm harm_;
};

}  // namespace qlcshape::sim
