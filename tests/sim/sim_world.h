// Simulated drives for the unchanged engine, on one thread. What happens to a write that was not
// flushed when the power went: kept, lost, or torn at the drive's atomic unit, each on its own. All
// chance comes from one seeded generator, so a run is a pure function of its seed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/random.h"
#include "coverage.h"
#include "device/device.h"
#include "pace.h"

namespace qlcshape::sim {

class World;

// What a drive holds; outlives the Device objects of one opening.
struct Media {
    std::string name;
    Geometry geometry;
    Buffer bytes;  // as reads see it
    bool discard_clears = true;
    struct Unflushed {
        std::uint64_t order = 0;
        std::uint64_t offset = 0;
        std::vector<std::byte> before;
        std::vector<std::byte> after;
    };
    std::deque<Unflushed> unflushed;  // oldest first
    bool gone = false;                // the drive was taken away
};

class World : public Clock {
  public:
    explicit World(std::uint64_t seed) : random_(seed) {}

    Media& add(const std::string& name, std::uint64_t bytes, bool volatile_cache,
               bool discard_clears);
    std::unique_ptr<Device> device(Media& media);
    Random& random() { return random_; }
    std::uint64_t now_ns() override { return ++now_; }

    // Completes one transfer in flight, chosen by chance. False if there is none.
    bool step();
    bool idle() const { return pending_.empty(); }

    // Power goes after this many more completions; 0: not planned.
    void cut_after(std::uint64_t completions) {
        cut_after_ = completions;
        cut_point_ = PersistencePoint::none;
    }
    // Power goes `more` completions after the nth one, from now, of an I/O of that point.
    void cut_at(PersistencePoint point, std::uint64_t nth, std::uint64_t more);
    // Power goes now. Everything in flight ends in an error, and so does all that is submitted
    // until power_on().
    void cut();
    bool dead() const { return dead_; }
    void power_on() { dead_ = false; }

    Pace& pace() { return pace_; }
    const Coverage& coverage() const { return coverage_; }
    std::uint64_t completed(PersistencePoint point) const {
        return coverage_.points[static_cast<std::size_t>(point)].done;
    }

    // A hash of every event so far: the same seed gives the same.
    std::uint64_t trace() const { return trace_; }
    std::uint64_t events() const { return events_; }

  private:
    friend class SimDevice;
    void start(Io& io, IoQueue& queue, Media& media);
    void perform(const Pending& p);
    void cut_if_planned(PersistencePoint completed);
    void write(Media& media, std::uint64_t offset, const std::byte* data, std::uint64_t bytes,
               std::uint64_t order);
    void lose_unflushed(Media& media);

    Random random_;
    std::vector<std::unique_ptr<Media>> media_;
    std::vector<Pending> pending_;
    std::uint64_t order_ = 0;
    std::uint64_t now_ = 0;
    Pace pace_;
    Coverage coverage_;
    PersistencePoint last_point_ = PersistencePoint::none;  // of the last completion
    PersistencePoint cut_point_ = PersistencePoint::none;
    std::uint64_t cut_point_left_ = 0;
    std::uint64_t cut_more_ = 0;
    std::uint64_t cut_after_ = 0;
    std::uint64_t trace_ = 0;
    std::uint64_t events_ = 0;
    bool dead_ = false;
};

}  // namespace qlcshape::sim
