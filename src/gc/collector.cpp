// SPDX-License-Identifier: Apache-2.0
#include "gc/collector.h"

#include "base/assert.h"
#include "base/canary.h"
#include "base/probe.h"
#include "gc/policy.h"

namespace qlcshape {

Collector::Collector(const ArrayContext& array, BandTable& bands, SpaceGate& gate,
                     std::vector<MapPort*> shards, IoQueue& queue, Counters& counters,
                     Buffer memory)
    : array_(array),
      bands_(bands),
      gate_(gate),
      rest_(gate.add_rest()),
      shards_(std::move(shards)),
      queue_(queue),
      counters_(counters),
      reader_(array, bands, queue, counters, BlockReader::Damage::ignored),
      committer_(array, bands, Stream::gc, Committer::kNoShard, queue, counters),
      rebuild_(array, queue),
      memory_(std::move(memory)),
      sources_(kSources) {
    const ArrayLayout& l = array.layout;
    const std::size_t most = std::max<std::size_t>(l.slots_per_segment, kTombstonesPerBlock);
    auto make_batches = [&](std::vector<MapBatch>& batches, void* context) {
        batches.resize(shards_.size());
        for (MapBatch& b : batches) {
            b.items.reserve(most);
            b.reply_to = &replies_;
            b.reply_queue = &queue_;
            b.context = context;
        }
    };
    for (std::uint32_t i = 0; i < kSources; ++i) {
        Source& s = sources_[i];
        s.owner = this;
        s.memory = memory_.data() + i * l.segment_bytes;
        s.wanted.resize(l.slots_per_segment);
        s.damaged.resize(l.slots_per_segment);
        s.reads.resize(l.slots_per_segment);
        s.trims.reserve(kTombstonesPerBlock);
        make_batches(s.batches, &s.batches_pending);
    }
    const std::uint64_t bytes = SegmentBuffer::bytes_needed(l);
    for (std::uint32_t i = 0; i < kTargets; ++i) {
        targets_.push_back(std::make_unique<Target>(
            l, memory_.span().subspan(kSources * l.segment_bytes + i * bytes, bytes)));
        targets_[i]->from.resize(l.slots_per_segment);
        make_batches(targets_[i]->batches, &targets_[i]->batches_pending);
    }
    awaiting_.reserve(kAwaiting);
    committer_.durable = [this](SegmentBuffer& done) {
        target_durable(static_cast<Target&>(done));
    };
}

std::uint64_t Collector::buffer_bytes(const ArrayLayout& layout) {
    return kSources * layout.segment_bytes + kTargets * SegmentBuffer::bytes_needed(layout);
}

// `changes` is read before the work: if a band changes meanwhile, this collector does not count as
// resting with the bands as they are (SpaceGate::standstill()).
bool Collector::poll() {
    const std::uint64_t changes = bands_.changes();
    rest_.store(SpaceGate::kRestless, std::memory_order_release);
    const bool any = work();
    if (!any && rests()) rest_.store(changes, std::memory_order_release);
    return any;
}

bool Collector::work() {
    if (committer_.failed()) gate_.fail(queue_);
    bool any = take_replies();
    // Nothing new is begun then, so that closing can wait for what is under way.
    if (gate_.failed()) return any;
    any |= committer_.poll();
    any |= reader_.poll();
    // Not open, no longer with the committer, all answers there: its exchange has ended.
    for (auto& t : targets_) {
        if (t->in_use && t.get() != open_ && t->step == SegmentBuffer::Step::idle &&
            t->batches_pending == 0) {
            target_settled(*t);
            any = true;
        }
    }
    for (Source& s : sources_) {
        while (s.step != Step::idle && step(s)) any = true;
    }
    any |= end_victim();
    any |= pick();
    any |= start_source();
    any |= seal_if_stuck();
    any |= give_back();
    return any;
}

bool Collector::busy() const {
    return victim_ || !awaiting_.empty() || !sources_idle() || queue_.in_flight() != 0 || closing_;
}

// Nothing of it is under way: only a change of the bands lets it go on.
bool Collector::rests() const {
    if (queue_.in_flight() != 0 || !replies_.empty() || !reader_.idle()) return false;
    for (const Source& s : sources_) {
        if (s.batches_pending != 0) return false;
    }
    for (const auto& t : targets_) {
        if (t->batches_pending != 0) return false;
    }
    for (const Victim& v : awaiting_) {
        if (bands_.has_readers(v.band)) return false;
    }
    return true;
}

bool Collector::sources_idle() const {
    for (const Source& s : sources_) {
        if (s.step != Step::idle) return false;
    }
    return true;
}

// Every batch carries where its sender counts: a source's or a target's batches_pending.
bool Collector::take_replies() {
    MapBatch* batch = replies_.take_all();
    const bool any = batch != nullptr;
    while (batch != nullptr) {
        MapBatch* next = batch->mail_next;
        --*static_cast<std::uint32_t*>(batch->context);
        batch = next;
    }
    return any;
}

// A damaged or narrow band gains little space, or none. So where space is short it has every fourth
// turn, and none unless GC's own bands are all there.
std::optional<Collector::Victim> Collector::choose() {
    constexpr std::uint32_t kEvery = 4;
    const bool short_of_space = gate_.gc_wanted();
    if (!short_of_space || (gate_.gc_has_room() && ++turns_ % kEvery == 0)) {
        if (const auto victim = choose_to_mend()) return victim;
    }
    if (!short_of_space) return std::nullopt;
    GreedyPolicy policy(array_.layout.slots_per_band(), array_.layout.bands, bands_.next_sequence(),
                        bands_.out_of_use() != 0);
    bands_.candidates([&](const Candidate& c) { policy.see(c); });
    if (policy.best()) return Victim{.band = *policy.best()};
    return gate_.gc_has_room() ? choose_to_mend() : std::nullopt;
}

std::optional<Collector::Victim> Collector::choose_to_mend() {
    const auto band = bands_.to_mend();
    if (!band) return std::nullopt;
    return Victim{.band = *band, .to_mend = true};
}

bool Collector::pick() {
    if (victim_ || closing_ || awaiting_.size() >= kAwaiting) return false;
    auto victim = choose();
    if (!victim) return false;
    if (!bands_.begin_move(victim->band)) return true;
    mending_ |= victim->to_mend;
    victim->sequence = bands_.sequence_of(victim->band);
    victim->segments = bands_.segments_of(victim->band);
    victim_ = victim;
    victim_damaged_ = false;
    return true;
}

// All segments of the victim were looked at, or closing stops it half way.
bool Collector::end_victim() {
    if (!victim_ || !sources_idle()) return false;
    if (victim_damaged_) {
        // What can't be read keeps its place: the band stays as it is and is not chosen again
        // before the next opening. What was moved out of it stays moved. One that was not moved for
        // space may be, later.
        if (victim_->to_mend)
            bands_.not_mended(victim_->band);
        else
            bands_.put_out_of_use(victim_->band);
        victim_.reset();
        return true;
    }
    if (victim_->next < victim_->segments) {
        if (!closing_) return false;
        bands_.abandon_move(victim_->band);
        victim_.reset();
        return true;
    }
    // A band that a failed write closed early has segments that were never written: all gain.
    const std::uint32_t untouched = array_.layout.segments_per_band - victim_->segments;
    gate_.reclaimed(untouched * array_.layout.slots_per_segment, 0);
    awaiting_.push_back(*victim_);
    victim_.reset();
    counters_.add(Counter::gc_bands_moved, 1);
    QS_PROBE(gc_band_moved, awaiting_.back().band.value);
    return true;
}

// No new reader can come once everything is settled, for no entry leads here any more, and a shard
// counts itself a reader when it reads the entry. So it is enough to wait for those that are there.
bool Collector::give_back() {
    bool any = false;
    const std::uint64_t unsettled = oldest_unsettled();
    for (std::size_t i = 0; i < awaiting_.size();) {
        const bool settled =
            awaiting_[i].last_target < unsettled || canary(Canary::band_freed_early);
        if (settled && !bands_.has_readers(awaiting_[i].band)) {
            bands_.moved(awaiting_[i].band);
            awaiting_.erase(awaiting_.begin() + static_cast<std::ptrdiff_t>(i));
            any = true;
        } else {
            ++i;
        }
    }
    return any;
}

// Bands wait for a target that nothing is left to fill: commit it as it is, at closing, if bands
// are short, or if what is in them has too little parity where they are. Otherwise the next victim
// fills it.
bool Collector::seal_if_stuck() {
    if (open_ == nullptr || open_->empty() || victim_ || !sources_idle()) return false;
    const bool more_to_mend = bands_.any_to_mend();
    const bool narrow = std::ranges::any_of(
        awaiting_, [this](const Victim& v) { return array_.is_narrow(v.band); });
    const bool mended = mending_ || narrow || bands_.damaged() != 0;
    const bool last_mended = mended && (!more_to_mend || awaiting_.size() >= kAwaiting);
    const bool wanted =
        closing_ || ((gate_.gc_wanted() || last_mended) && !awaiting_.empty() && committer_.idle());
    if (!wanted) return false;
    mending_ = more_to_mend;
    seal_target();
    return true;
}

void Collector::begin(Phase) {
    closing_ = true;
    gate_.set_closing();
}

bool Collector::done_with(Phase phase) {
    if (phase != Phase::draining) return true;
    if (gate_.failed()) return closing_ && queue_.in_flight() == 0;
    if (!closing_ || victim_ || !sources_idle()) return false;
    for (const auto& t : targets_) {
        if (t->in_use && !(t.get() == open_ && t->empty())) return false;
    }
    return awaiting_.empty() && reader_.idle();
}

std::uint64_t Collector::memory_bytes() const {
    std::uint64_t bytes = memory_.size() + reader_.memory_bytes() + rebuild_.memory_bytes();
    for (const Source& s : sources_) {
        bytes += s.reads.size() * sizeof(BlockRead) + s.trims.capacity() * sizeof(Tombstone);
        for (const MapBatch& b : s.batches) bytes += b.items.capacity() * sizeof(MapItem);
    }
    for (const auto& t : targets_) {
        for (const MapBatch& b : t->batches) bytes += b.items.capacity() * sizeof(MapItem);
    }
    return bytes;
}

}  // namespace qlcshape
