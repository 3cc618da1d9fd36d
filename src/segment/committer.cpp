// SPDX-License-Identifier: Apache-2.0
#include "segment/committer.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/canary.h"
#include "base/crc32c.h"
#include "base/probe.h"
#include "raid6/parity.h"

namespace qlcshape {

using Step = SegmentBuffer::Step;

Committer::Committer(const ArrayContext& array, BandTable& bands, Stream stream,
                     std::uint8_t writer, IoQueue& queue, Counters& counters)
    : array_(array),
      bands_(bands),
      stream_(stream),
      writer_(writer),
      queue_(queue),
      counters_(counters),
      write_point_(stream == Stream::gc ? PersistencePoint::gc_strip_write
                   : writer == kNoShard ? PersistencePoint::replay_strip_write
                                        : PersistencePoint::strip_write),
      flush_point_(stream == Stream::gc ? PersistencePoint::gc_strip_flush
                   : writer == kNoShard ? PersistencePoint::replay_strip_flush
                                        : PersistencePoint::strip_flush),
      others_(array.qlc.size()) {
    flushes_.resize(array_.qlc.size());
    active_.reserve(2 * kRamSegments);
}

void Committer::commit(SegmentBuffer& segment) {
    QS_ASSERT(segment.step == Step::idle);
    segment.step = Step::placing;
    segment.attempts = 0;
    segment.refused_by = nullptr;
    segment.drives = array_.drives_in().count();
    active_.push_back(&segment);
}

// What failed before a drive left says nothing about the others.
void Committer::note_drives(SegmentBuffer& segment) {
    const std::size_t drives = array_.drives_in().count();
    if (std::exchange(segment.drives, drives) != drives) segment.attempts = 0;
}

bool Committer::poll() {
    bool any = false;
    for (std::size_t i = 0; i < active_.size(); ++i) any |= step(*active_[i]);
    any |= flush();
    // Hand over what has settled, oldest first.
    for (std::size_t i = 0; i < active_.size();) {
        SegmentBuffer& segment = *active_[i];
        const bool settled = bands_.settled(segment.placement) || canary(Canary::publish_unsettled);
        if (segment.step == Step::settling && settled) {
            active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
            segment.step = Step::idle;
            count(segment);
            durable(segment);
            any = true;
        } else {
            ++i;
        }
    }
    return any;
}

bool Committer::rests() const {
    return std::ranges::all_of(active_, [](const SegmentBuffer* segment) {
        return segment->step == Step::placing || segment->step == Step::settling;
    });
}

bool Committer::step(SegmentBuffer& segment) {
    switch (segment.step) {
        case Step::placing: {
            if (failed_ || array_.drive_leaves()) return false;
            note_drives(segment);
            auto placement = bands_.place(stream_);
            if (!placement) {
                // Bands go as fast as they are tried: a drive fails for good. The free bands that
                // are left are for recovery, which may have to commit all that is in RAM now.
                if (segment.attempts > 0 && bands_.free_bands() <= array_.layout.recovery_bands)
                    give_up(segment);
                return false;
            }
            segment.placement = *placement;
            encode(segment);
            segment.step = Step::turn;
            return true;
        }
        case Step::turn:
            // A void place passes the turn on, too: later ones wait for it to find out that they
            // are void.
            if (!bands_.my_turn(segment.placement)) return false;
            if (bands_.void_place(segment.placement)) {
                bands_.submitted(segment.placement);
                place_again(segment);
            } else {
                write(segment);
            }
            return true;
        case Step::writing:
            if (segment.writes_pending != 0) return false;
            written(segment);
            return true;
        case Step::settling:
            // All its strips are durable, but one before it in the band failed, perhaps another
            // thread's: the frontier will never reach this one, so recovery need not keep it.
            if (!bands_.void_place(segment.placement)) return false;
            place_again(segment);
            return true;
        case Step::idle:
        case Step::written:
        case Step::flushing:
            return false;
    }
    return false;
}

namespace {

// A few blocks of each strip at a time, so that P and Q are in cache when their checksums read
// them.
void parity_with_crcs(std::span<std::byte* const> strips, std::uint64_t bytes, std::uint32_t& p_crc,
                      std::uint32_t& q_crc) {
    constexpr std::uint64_t kAtOnce = 2 * kBlockBytes;
    std::byte* part[kMaxDataStrips + 2];
    const std::size_t width = strips.size();
    p_crc = q_crc = crc32c({});
    for (std::uint64_t at = 0; at < bytes; at += kAtOnce) {
        const std::uint64_t n = std::min(kAtOnce, bytes - at);
        for (std::size_t role = 0; role < width; ++role) part[role] = strips[role] + at;
        compute_parity({part, width}, n);
        p_crc = crc32c_continue(p_crc, {part[width - 2], n});
        q_crc = crc32c_continue(q_crc, {part[width - 1], n});
    }
}

}  // namespace

void Committer::encode(SegmentBuffer& segment) {
    const ArrayLayout& l = array_.layout;
    SegmentHeader& header = segment.header();
    SegmentHeaderFixed& f = header.fixed();
    f = SegmentHeaderFixed{};
    f.array = array_.array;
    f.band = segment.placement.band.value;
    f.segment = segment.placement.segment;
    f.band_sequence = segment.placement.sequence;
    f.epoch = array_.epoch;
    f.frontier = segment.placement.frontier;
    f.stream = static_cast<std::uint8_t>(stream_);
    f.shard = writer_;
    f.min_version = segment.min_version().value;
    f.max_version = segment.max_version().value;
    f.tps_acked = segment.tps_acked;

    // P and Q cover the header, so their checksums in it leave out the part that covers it:
    //
    //   bytes of a strip   0 ... header_bytes               ... strip_bytes
    //   data strip 0       the header                        slots
    //   other data strips  slots                             slots
    //   P and Q            depend on the header:             their checksums are
    //                      computed last, in no checksum     in the header
    //
    // So: the right part of P and Q, the header with its own checksum, then the left part.
    std::byte* strips[kMaxDataStrips + 2];
    std::byte* behind_header[kMaxDataStrips + 2];
    for (std::uint32_t role = 0; role < l.width(); ++role) {
        strips[role] = segment.strip(role);
        behind_header[role] = strips[role] + l.header_bytes();
    }
    parity_with_crcs({behind_header, l.width()}, l.p.strip_bytes - l.header_bytes(), f.p_crc,
                     f.q_crc);
    header.seal();
    compute_parity({strips, l.width()}, l.header_bytes());
}

void Committer::write(SegmentBuffer& segment) {
    const ArrayLayout& l = array_.layout;
    const Placement& p = segment.placement;
    segment.writes_pending = 0;
    segment.write_failed = false;
    // Noted before the first strip can reach a cache: a flush that fails from now on, of any
    // thread, may have dropped one.
    segment.failed_flushes = failed_flushes();
    for (std::uint32_t role = 0; role < l.width(); ++role) {
        const Location place = array_.locate(p.band, p.segment, role);
        if (!place.there()) continue;  // parity that no drive is left for
        Io& io = segment.ios()[role];
        io = array_.segment_io(IoKind::write, p.band, p.segment, role * l.p.strip_bytes,
                               l.p.strip_bytes, segment.strip(role));
        if (canary(Canary::absent_is_named) && io.device == nullptr) continue;
        if (io.device == nullptr) {  // it went out since this place was given, and the band ends
            segment.write_failed = true;
            continue;
        }
        io.point = write_point_;
        io.context = &segment;
        io.done = [](Io& done) {
            auto& s = *static_cast<SegmentBuffer*>(done.context);
            --s.writes_pending;
            if (done.error_number == 0) return;
            s.write_failed = true;
            s.refused_by = refused_by_system(done.error_number) ? nullptr : done.device;
        };
        ++segment.writes_pending;
        queue_.submit(io);
    }
    bands_.submitted(p);
    segment.step = Step::writing;
}

void Committer::written(SegmentBuffer& segment) {
    if (segment.write_failed) {
        counters_.add(Counter::io_errors, 1);
        // First the band ends before this segment: otherwise the frontier would wait for it for
        // ever, and so would later segments of the band, which only settle behind it.
        bands_.write_failed(segment.placement);
        replace(segment);
    } else if (must_flush() && !canary(Canary::publish_unflushed)) {
        segment.step = Step::written;
    } else {
        bands_.durable(segment.placement);
        segment.step = Step::settling;
    }
}

bool Committer::must_flush() const {
    return std::ranges::any_of(array_.qlc.all(), [](const Device* drive) {
        return drive != nullptr && drive->geometry().volatile_cache;
    });
}

// One round of flushes covers every segment that was written before it began; what is written
// meanwhile waits for the next, since a flush promises nothing about writes that completed after it
// was submitted. So several segments share a round.
bool Committer::flush() {
    if (!round_ended()) return false;
    const bool any = round_ != Round::none;
    if (any) end_round();
    const auto written = [](const SegmentBuffer* s) { return s->step == Step::written; };
    if (std::ranges::none_of(active_, written)) return any;
    start_flush();
    return true;
}

// The flushes of others that began before its own had ended are part of it.
bool Committer::round_ended() {
    if (flushes_pending_ != 0) return false;
    if (round_ == Round::own) {
        others_.begin();
        for (Device* drive : array_.qlc.all()) {
            if (drive != nullptr && !drive->out()) others_.add(drive->flushes());
        }
        round_ = Round::others;
    }
    return round_ == Round::none || others_.ended();
}

// A failed flush is never tried again as if it were clean: the drive may report success and have
// dropped the strips. The segment is written again, elsewhere; also if another thread's flush
// failed, for the same reason.
void Committer::end_round() {
    round_ = Round::none;
    for (SegmentBuffer* segment : active_) {
        if (segment->step != Step::flushing) continue;
        if (segment->failed_flushes != failed_flushes()) {
            segment->refused_by = flush_refused_by_;
            bands_.write_failed(segment->placement);
            replace(*segment);
        } else {
            bands_.durable(segment->placement);
            segment->step = Step::settling;
        }
    }
}

void Committer::start_flush() {
    for (SegmentBuffer* segment : active_) {
        if (segment->step == Step::written) segment->step = Step::flushing;
    }
    std::size_t used = 0;
    for (Device* drive : array_.qlc.all()) {
        // Of one that is out no segment that can still settle has a strip.
        if (drive == nullptr || drive->out() || !drive->geometry().volatile_cache) continue;
        Io& io = flushes_[used++];
        io = Io{};
        io.kind = IoKind::flush;
        io.point = flush_point_;
        io.device = drive;
        io.context = this;
        // Its outcome is in the drive's log of flushes, with those of all other threads.
        io.done = [](Io& done) {
            auto& self = *static_cast<Committer*>(done.context);
            --self.flushes_pending_;
            if (done.error_number != 0 && !refused_by_system(done.error_number))
                self.flush_refused_by_ = done.device;
        };
    }
    flushes_pending_ = static_cast<std::uint32_t>(used);
    flush_refused_by_ = nullptr;
    round_ = Round::own;
    for (std::size_t i = 0; i < used; ++i) queue_.submit(flushes_[i]);
}

std::uint64_t Committer::failed_flushes() const {
    std::uint64_t failed = 0;
    for (Device* drive : array_.qlc.all())
        failed += drive == nullptr ? 0 : drive->flushes().failed();
    return failed;
}

// A write or flush of its own failed.
void Committer::replace(SegmentBuffer& segment) {
    if (++segment.attempts >= kAttempts) give_up(segment);
    place_again(segment);
}

// Data strips stay as they are in RAM; header, P and Q are made again for the new place. What was
// written to the old one may count after a crash in addition: same versions, same contents.
void Committer::place_again(SegmentBuffer& segment) {
    counters_.add(Counter::commit_retries, 1);
    bands_.left(segment.placement);
    segment.step = Step::placing;
}

// While the array is open somebody decides whether it goes on without that drive.
void Committer::give_up(const SegmentBuffer& segment) {
    Device* const by = segment.refused_by;
    if (by != nullptr && by->watched() && !by->out())
        by->refuse_writes();
    else
        failed_ = true;
}

void Committer::count(const SegmentBuffer& segment) {
    const ArrayLayout& l = array_.layout;
    const std::uint64_t used = segment.fill();
    QS_PROBE(segment_durable, static_cast<int>(stream_), segment.placement.band.value,
             segment.placement.segment, used);
    const auto kind = stream_ == Stream::user ? Counter::qlc_data_bytes : Counter::qlc_gc_bytes;
    counters_.add(kind, used * kBlockBytes);
    counters_.add(Counter::qlc_header_bytes,
                  (l.header_blocks + segment.tombstone_blocks()) * kBlockBytes);
    counters_.add(Counter::qlc_padding_bytes,
                  (l.slots_per_segment - used - segment.tombstone_blocks()) * kBlockBytes);
    const std::size_t columns = array_.columns->drives(segment.placement.band).count();
    counters_.add(Counter::qlc_parity_bytes, (columns - l.p.data_strips) * l.p.strip_bytes);
}

}  // namespace qlcshape
