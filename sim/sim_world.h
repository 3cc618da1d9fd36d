// SPDX-License-Identifier: Apache-2.0
// Simulated drives for the unchanged engine, on one thread: which transfer ends next and how, and
// when the power goes. All chance comes from one seeded generator, so a run is a pure function of
// its seed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "device/device.h"
#include "sim/coverage.h"
#include "sim/sim_faults.h"
#include "sim/sim_media.h"

namespace qlcshape::sim {

class World : public Clock {
  public:
    explicit World(std::uint64_t seed, Profile profile = Profile::cuts)
        : random_(seed), faults_(profile, random_), aim_random_(seed) {}

    Media& add(const std::string& name, std::uint64_t bytes, bool volatile_cache,
               bool discard_clears);
    std::unique_ptr<Device> device(Media& media);
    Random& random() { return random_; }
    Injector& faults() { return faults_; }
    const Injector& faults() const { return faults_; }
    std::uint64_t now_ns() override { return ++now_; }
    void pass(std::uint64_t ns) { now_ += ns; }

    // Completes one transfer in flight, chosen by chance. False if there is none.
    bool step();
    bool idle() const { return pending_.empty() && delayed_.empty(); }

    // Power goes after this many more completions; 0: not planned.
    void cut_after(std::uint64_t completions) {
        cut_after_ = completions;
        cut_point_ = PersistencePoint::none;
    }
    // Power goes `more` completions after the nth one, from now, of a transfer of that point.
    void cut_at(PersistencePoint point, std::uint64_t nth, std::uint64_t more);
    // Wherever a cut is planned, the power rather goes at this point, as soon as there is one:
    // while a transfer of it is in flight, or directly after it.
    void aim_at(PersistencePoint point) { aim_ = point; }
    // Power goes now. Everything in flight ends in an error, and so does all that is submitted
    // until power_on().
    void cut();
    // The process dies and the power stays: what is in flight is done or was never begun, and what
    // drives have in their caches they keep. Else as cut().
    void kill();
    bool dead() const { return dead_; }
    // A drive goes, until power_on().
    void take_away(Media& media) {
        media.gone = true;
        cut_off(&media);
    }
    // One that went is there again, or takes writes again; not one that is silent now.
    void mend(Media& media) const {
        if (silent_ != &media) media.gone = media.refuses_writes = media.silent = false;
    }
    // From now on the drive keeps all transfers, those in flight too, until it answers or the power
    // goes.
    void silence(Media& media);
    void answer();
    bool silenced() const { return silent_ != nullptr; }
    bool keeps_any() const { return !kept_.empty(); }
    // Drives that were gone are back, too, and take writes.
    void power_on();

    // A rule of zones that was broken; empty: none.
    const std::string& broken_rule() const { return broken_rule_; }

    // A hash of every event so far: the same seed gives the same.
    std::uint64_t trace() const { return trace_; }
    std::uint64_t events() const { return events_; }
    const Coverage& coverage() const { return coverage_; }

  private:
    friend class SimDevice;
    struct Pending {
        Io* io;
        IoQueue* queue;
        Media* media;
        std::uint64_t order;
        std::uint64_t ready;  // the event from which on it may end
        int error;            // in which it will end
    };
    void start(Io& io, IoQueue& queue, Media& media);
    bool hand_over(const Io& io, Io& heir);
    static void finish(const Pending& p, int error);
    Pending take_next();
    void wake_delayed();
    int perform(const Pending& p);
    int read(const Pending& p, Fault fault);
    int write(const Pending& p, Fault fault);
    int discard(const Pending& p);
    static const std::byte* data_of(const Io& io, std::vector<std::byte>& memory);
    void misdirect(const Pending& p, const std::byte* data);
    void spoil(Media& media, Fault fault, const Io& io);
    std::vector<Pending> take_in_flight(const Media* media);
    void cut_off(Media* media);
    void cut_if_planned(PersistencePoint completed);
    bool hits(PersistencePoint point);
    bool aim_in_flight() const;
    void trace_event(const Pending& p, int error);

    Random random_;
    Injector faults_;
    std::vector<std::unique_ptr<Media>> media_;
    std::vector<Pending> pending_;
    std::vector<Pending> delayed_;
    std::vector<Pending> kept_;  // by the drive that is silent
    const Media* silent_ = nullptr;
    std::uint64_t order_ = 0;
    std::uint64_t now_ = 0;
    std::uint64_t cut_after_ = 0;
    PersistencePoint cut_point_ = PersistencePoint::none;
    std::uint64_t cut_point_left_ = 0;
    std::uint64_t cut_more_ = 0;
    PersistencePoint aim_ = PersistencePoint::none;
    Random aim_random_;
    Coverage coverage_;
    PersistencePoint last_point_ = PersistencePoint::none;  // of the last completion
    std::uint64_t trace_ = 0;
    std::uint64_t events_ = 0;
    std::string broken_rule_;
    bool dead_ = false;
};

}  // namespace qlcshape::sim
