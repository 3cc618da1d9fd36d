// SPDX-License-Identifier: Apache-2.0
#include "shard/shard.h"

#include "base/assert.h"
#include "base/canary.h"

namespace qlcshape {

namespace {
constexpr std::uint32_t kReadChunks = 64;
constexpr std::uint64_t kChunkBytes = std::uint64_t{BlockRead::kMaxBlocks} * kBlockBytes;
constexpr std::uint32_t kPublishItems = 256;
}  // namespace

Shard::Shard(const Shared& shared, std::uint32_t index, std::uint64_t cache_sets, IoQueue& queue,
             Buffer memory)
    : array_(shared.array),
      index_(index),
      bands_(shared.bands),
      gate_(shared.gate),
      rest_(gate_.add_rest()),
      next_version_(shared.next_version),
      queue_(queue),
      cache_(array_, cache_sets, queue, counters_),
      reader_(array_, bands_, queue, counters_),
      committer_(array_, bands_, Stream::user, static_cast<std::uint8_t>(index), queue, counters_),
      tps_(array_, index, queue, counters_),
      overlay_(std::size_t{kRamSegments} * array_.layout.slots_per_segment),
      memory_(std::move(memory)),
      publish_items_(kPublishItems),
      chunks_(kReadChunks),
      merge_memory_(2 * kBlockBytes) {
    const std::uint64_t bytes = SegmentBuffer::bytes_needed(array_.layout);
    for (std::uint32_t i = 0; i < kRamSegments; ++i) {
        segments_.push_back(
            std::make_unique<RamSegment>(array_.layout, memory_.span().subspan(i * bytes, bytes)));
    }
    open().reset();
    open().sequence = open_sequence_;
    for (std::uint32_t i = 0; i < kReadChunks; ++i) {
        chunks_[i].read.data = memory_.data() + kRamSegments * bytes +
                               std::size_t{i} * BlockRead::kMaxBlocks * kBlockBytes;
        idle_chunks_.push_back(chunks_[i]);
    }
    for (PublishItem& item : publish_items_) {
        item.shard = this;
        item.ready = [](PageWaiter& waiter, CachedPage* cached) {
            auto& it = static_cast<PublishItem&>(waiter);
            it.shard->publish_slot(*it.segment, it.slot, cached);
            --it.shard->publishing_;
            it.shard->idle_publish_.push_back(it);
        };
        idle_publish_.push_back(item);
    }
    map_port_.queue = &queue_;
    tps_.acked = [this](OpFifo ops, bool good) { record_acked(ops, good); };
    committer_.durable = [](SegmentBuffer& done) {
        static_cast<RamSegment&>(done).committed = true;
    };
}

Shard::~Shard() = default;

std::uint64_t Shard::memory_bytes(const ArrayLayout& layout) {
    return kRamSegments * SegmentBuffer::bytes_needed(layout) + kChunkBytes * kReadChunks;
}

void Shard::memory(std::uint64_t& cache, std::uint64_t& segments, std::uint64_t& overlay) const {
    cache += cache_.memory_bytes();
    segments +=
        memory_.size() + merge_memory_.size() + tps_.memory_bytes() + reader_.memory_bytes();
    overlay += overlay_.memory_bytes();
}

// The oldest work first: what ends frees what newer work waits for. A record or a commit that has
// completed makes segments durable (TPS space), those are published (RAM segments), and only then
// writes are appended. pump_writes() comes before journal(), so that all that arrived together goes
// into one record. The order is for speed: each step checks by itself what it needs.
//
// `changes` is read before all of it: see SpaceGate::standstill().
bool Shard::poll() {
    const std::uint64_t changes = bands_.changes();
    rest_.store(SpaceGate::kRestless, std::memory_order_release);
    bool any = take_mail();
    any |= take_batches();
    any |= tps_.poll();
    any |= committer_.poll();
    any |= advance_durable();
    any |= cache_.poll();
    any |= publish();
    any |= reader_.poll();
    any |= pump_reads();
    any |= pump_writes();
    any |= journal();
    any |= start_commits();
    any |= pump_flushes();
    any |= sweep();
    any |= fetch_patched();
    if (rests()) rest_.store(changes, std::memory_order_release);
    if (cache_.met_damage()) table_damaged_.store(true, std::memory_order_relaxed);
    if (committer_.failed() || cache_.failed() || gate_.failed()) failed_ = true;
    if (failed_) {
        gate_.fail(queue_);
        fail_everything();
    }
    return any;
}

bool Shard::busy() const {
    return in_flight_[0] + in_flight_[1] != 0 || !reads_.empty() ||
           published_sequence_ + 1 != open_sequence_ || closing_ || sweeping_ != 0 || !patched() ||
           queue_.in_flight() != 0;
}

// What it has appended is published, or waits for a place. Users may read meanwhile.
bool Shard::rests() const {
    return committer_.rests() && tps_.idle() && publishing_ == 0 && trims_applying_ == 0 &&
           published_sequence_ == durable_sequence_ && !has_mail() && !trim_waiting_ &&
           merges_pending_ == 0;
}

bool Shard::take_mail() {
    PageOp* op = mailbox_.take_all();
    const bool any = op != nullptr;
    while (op != nullptr) {
        PageOp* next = op->mail_next;
        dispatch(*op);
        op = next;
    }
    return any;
}

void Shard::dispatch(PageOp& op) {
    op.shard = this;
    switch (op.kind) {
        case OpKind::read:
            start_read(op);
            break;
        case OpKind::write:
        case OpKind::trim:
            op.flush_phase = phase_;
            ++in_flight_[phase_];
            writes_.push_back(op);
            break;
        case OpKind::flush:
            flushes_.push_back(op);
            break;
        case OpKind::mapped:
            look_for_data(op);
            break;
    }
}

void Shard::finish(PageOp& op) {
    if (op.kind == OpKind::write || op.kind == OpKind::trim) --in_flight_[op.flush_phase];
    ended_.store(ended() + 1, std::memory_order_relaxed);
    op.done(op);
}

void Shard::note_failure(PageOp& op, Errc error, Lba lba) {
    op.failed = true;
    op.error = error;
    op.bad_lba = lba;
}

void Shard::finish_failed(PageOp& op, Errc error, Lba lba) {
    note_failure(op, error, lba);
    finish(op);
}

// A drive of the TPS or the table failed, or no place could be found for a segment: what was
// acknowledged is safe on media, and nothing more is acknowledged.
void Shard::fail_everything() {
    // What the TPS has comes back by record_acked(), what reads from drives by its completion.
    for (OpFifo* list : {&writes_, &pending_, &in_commit_}) {
        if (list == &writes_ && merges_pending_ != 0)
            continue;  // the front still waits for its reads
        if (list == &writes_ && trim_waiting_) continue;
        OpFifo ops = list->take();
        while (!ops.empty()) {
            PageOp& op = ops.pop_front();
            finish_failed(op, Errc::io_error, op.first);
        }
    }
}

// Flushes wait for the writes that were in flight when they came, no others: writes are counted by
// the phase in which they came, and each round of flushes begins a new phase. A flush needs no I/O,
// since what is acknowledged is durable; with a stream of writes it must not wait for ever.
//
//   phase 0: writes a, b     flush 1 -> phase 1, waits for in_flight_[0] == 0
//   phase 1: writes c, d     flush 2 comes: the next round, when flush 1 has ended
bool Shard::pump_flushes() {
    bool any = false;
    if (flushing_ != nullptr && in_flight_[phase_ ^ 1] == 0) {
        PageOp* op = flushing_;
        flushing_ = nullptr;
        while (op != nullptr) {
            PageOp* next = op->next_op;
            finish(*op);
            op = next;
        }
        any = true;
    }
    if (flushing_ == nullptr && !flushes_.empty()) {
        flushing_ = &flushes_.front();
        flushes_.take();
        phase_ ^= 1;
        any = true;
    }
    return any;
}

bool Shard::done_with(Phase phase) {
    if (phase == Phase::draining) return drained();
    if (phase != Phase::flushing) return true;
    return failed() || canary(Canary::table_not_flushed) || cache_.flushed();
}

bool Shard::drained() const {
    if (!closing_ || in_flight_[0] + in_flight_[1] != 0 || flushing_ != nullptr ||
        !flushes_.empty() || !reads_.empty() || !reader_.idle() || !mailbox_.empty()) {
        return false;
    }
    if (failed_) return queue_.in_flight() == 0;
    return open().empty() && published_sequence_ + 1 == open_sequence_ && tps_.idle() && patched();
}

}  // namespace qlcshape
