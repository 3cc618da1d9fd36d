// SPDX-License-Identifier: Apache-2.0
// When a snapshot may stand: not on a flush of its own alone; and what becomes of one that fails.
#include "recovery/snapshotter.h"
#include "small_layout.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <memory>
#include <vector>

using namespace qlcshape;

namespace {

// Keeps each flush until it is told how it ended.
class SnapshotDrive final : public Device {
  public:
    SnapshotDrive() : Device("scm", Geometry{256 * MiB}) {}
    void start(Io& io, IoQueue& queue) override {
        if (io.kind == IoKind::flush) return flushes_.push_back({&io, &queue});
        ++writes;
        places.push_back(io.offset);
        queue.complete(io, write_error);
    }
    void end_flush(std::size_t which, int error_number) {
        flushes_[which].queue->complete(*flushes_[which].io, error_number);
    }
    std::size_t begun() const { return flushes_.size(); }
    // All that are held, and all that come of it.
    void end_flushes() {
        for (; ended_ < flushes_.size(); ++ended_) end_flush(ended_, 0);
    }
    unsigned writes = 0;
    int write_error = 0;
    std::vector<std::uint64_t> places;  // of writes

  private:
    std::size_t ended_ = 0;
    struct Begun {
        Io* io;
        IoQueue* queue;
    };
    std::vector<Begun> flushes_;
};

struct Fixture {
    ArrayContext array;
    SnapshotDrive drive;
    IoQueue queue, other;
    Counters counters;
    std::unique_ptr<BandTable> bands;
    std::unique_ptr<SpaceGate> gate;
    std::unique_ptr<BandKeeper> keeper;
    std::unique_ptr<TableBitmap> bitmap;
    std::unique_ptr<BitmapWriter> bits;
    std::unique_ptr<Snapshotter> snapshotter;
    std::atomic<std::uint64_t> next_version{100};
    LifetimeCounters lifetime{};
    Io flush;  // another thread's

    Fixture() {
        array = ArrayContext(small_layout(
            {.scm_count = 1, .strips_per_band = 4, .bands = 254, .scm_bytes = 256 * MiB}));
        array.scm.push_back(&drive);
        bands = std::make_unique<BandTable>(array.layout);
        gate = std::make_unique<SpaceGate>(array.layout, *bands);
        keeper = std::make_unique<BandKeeper>(
            array, *bands, *gate, std::vector<std::uint64_t>(array.layout.band_table_pages), queue,
            counters);
        bitmap = std::make_unique<TableBitmap>(array.layout);
        bits = std::make_unique<BitmapWriter>(
            array, *bitmap, std::vector<std::uint64_t>(array.layout.bitmap_pages));
        snapshotter = std::make_unique<Snapshotter>(Snapshotter::Parts{array,
                                                                       *bands,
                                                                       *keeper,
                                                                       *gate,
                                                                       *bits,
                                                                       next_version,
                                                                       {},
                                                                       0,
                                                                       0,
                                                                       1000,
                                                                       [this] { return lifetime; }},
                                                    queue, counters);
        flush.kind = IoKind::flush;
        flush.device = &drive;
        flush.done = [](Io&) {};
    }
    void poll() {
        for (int i = 0; i < 10; ++i) {
            snapshotter->poll();
            queue.poll();
            other.poll();
        }
    }
};

}  // namespace

TEST_CASE("snapshotter: a flush of another thread that failed ends the snapshot") {
    // Heard of before its own flush has ended, or after.
    const bool late = GENERATE(false, true);
    Fixture f;
    f.other.submit(f.flush);
    f.snapshotter->ask();
    f.poll();
    REQUIRE(f.drive.begun() == 2);
    if (!late) f.drive.end_flush(0, EIO);
    f.drive.end_flush(1, 0);
    f.poll();
    CHECK(f.drive.writes == 0);
    if (late) {
        CHECK(f.snapshotter->busy());
        f.drive.end_flush(0, EIO);
        f.poll();
    }
    CHECK_FALSE(f.snapshotter->busy());
    CHECK(f.drive.writes == 0);
    CHECK(f.snapshotter->taken() == 0);
}

TEST_CASE("snapshotter: it waits for no flush that began after its own had ended") {
    Fixture f;
    f.other.submit(f.flush);
    f.snapshotter->ask();
    f.poll();
    f.drive.end_flush(1, 0);
    f.poll();
    Io later = f.flush;
    f.other.submit(later);
    f.drive.end_flush(0, 0);
    f.poll();
    REQUIRE(f.drive.begun() == 4);
    CHECK(f.drive.writes == 1);
    f.drive.end_flush(3, 0);
    f.poll();
    CHECK_FALSE(f.snapshotter->busy());
    CHECK(f.snapshotter->taken() == 1);
    f.drive.end_flush(2, 0);
    f.poll();
}

namespace {

void take_one(Fixture& f) {
    f.snapshotter->ask();
    for (int i = 0; i < 5; ++i) {
        f.poll();
        f.drive.end_flushes();
    }
    f.poll();
    REQUIRE_FALSE(f.snapshotter->busy());
}

}  // namespace

TEST_CASE("snapshotter: records alternate between two places") {
    Fixture f;
    for (int i = 0; i < 4; ++i) take_one(f);
    CHECK(f.snapshotter->taken() == 4);
    REQUIRE(f.drive.places.size() == 4);
    CHECK(f.drive.places[0] != f.drive.places[1]);
    CHECK(f.drive.places[0] == f.drive.places[2]);
    CHECK(f.drive.places[1] == f.drive.places[3]);
}

TEST_CASE(
    "snapshotter: one that can't be written leaves the one before alone, and is tried again") {
    Fixture f;
    take_one(f);
    f.drive.write_error = EIO;
    take_one(f);
    take_one(f);
    CHECK(f.snapshotter->taken() == 1);
    CHECK(f.counters.get(Counter::io_errors) == 2);
    CHECK_FALSE(f.gate->failed());
    f.drive.write_error = 0;
    take_one(f);
    CHECK(f.snapshotter->taken() == 2);
    REQUIRE(f.drive.places.size() == 4);
    for (const std::size_t i : {1, 2, 3}) CHECK(f.drive.places[i] == f.drive.places[1]);
    CHECK(f.drive.places[0] != f.drive.places[1]);
}

TEST_CASE("snapshotter: its own flush of the table that fails ends it before its record") {
    Fixture f;
    f.snapshotter->ask();
    f.poll();
    REQUIRE(f.drive.begun() == 1);
    f.drive.end_flush(0, EIO);
    f.poll();
    CHECK_FALSE(f.snapshotter->busy());
    CHECK(f.drive.writes == 0);
    CHECK(f.snapshotter->taken() == 0);
}

TEST_CASE("snapshotter: closing, and a gate that failed, begin none, and end with what is begun") {
    const bool failed = GENERATE(false, true);
    const bool begun = GENERATE(false, true);
    CAPTURE(failed, begun);
    Fixture f;
    if (begun) {
        f.snapshotter->ask();
        f.poll();
        CHECK(f.snapshotter->busy());
    }
    failed ? f.gate->fail_for_table() : f.snapshotter->begin(Phase::draining);
    f.snapshotter->ask();
    for (int i = 0; i < 5; ++i) {
        f.poll();
        f.drive.end_flushes();
    }
    f.poll();
    CHECK_FALSE(f.snapshotter->busy());
    CHECK(f.drive.writes == (begun ? 1 : 0));
    const std::size_t flushes = f.drive.begun();
    f.poll();
    CHECK(f.drive.begun() == flushes);
}
