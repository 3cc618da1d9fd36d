// SPDX-License-Identifier: Apache-2.0
#include "shard/shard.h"

#include "base/assert.h"
#include "base/canary.h"

namespace qlcshape {

namespace {
std::uint64_t segment_bytes(const ArrayLayout& layout) {
    return kRamSegments * SegmentBuffer::bytes_needed(layout);
}
}  // namespace

Shard::Shard(const Shared& shared, std::uint32_t index, std::uint64_t cache_sets, IoQueue& queue,
             Buffer memory)
    : rest_(shared.gate.add_rest()),
      memory_(std::move(memory)),
      context_(shared, index, cache_sets, queue,
               memory_.span().first(segment_bytes(shared.array.layout))),
      tps_(context_.array, index, queue, context_.counters),
      publisher_(context_),
      pipeline_(context_, Stream::user, std::span<RamSegment, kRamSegments>(context_.ram), tps_,
                publisher_),
      reads_(context_, memory_.span().subspan(segment_bytes(shared.array.layout))),
      writes_(context_, reads_, pipeline_),
      table_(context_),
      mirror_fill_(context_, pipeline_) {
    tps_.acked = [this](std::uint64_t record, bool good) { pipeline_.record_acked(record, good); };
}

Shard::~Shard() = default;

std::uint64_t Shard::memory_bytes(const ArrayLayout& layout) {
    return segment_bytes(layout) + Reads::memory_needed();
}

void Shard::memory(std::uint64_t& cache, std::uint64_t& segments, std::uint64_t& overlay) const {
    cache += context_.cache.memory_bytes();
    segments +=
        memory_.size() + writes_.memory_bytes() + tps_.memory_bytes() + reads_.memory_bytes();
    overlay += context_.overlay.memory_bytes();
}

// The oldest work first: what ends frees what newer work waits for. A record or a commit that has
// completed makes segments durable (TPS space), those are published (RAM segments), and only then
// writes are appended. Writes come before journal(), so that all that arrived together goes into
// one record, and before start_commits(), so that what they fill is on its way at once; journal()
// may seal a segment, too. Flushes come after everything that ends writes, and what is done for
// snapshots, recovery and a drive that is coming when requests have had their turn. The order is
// for speed: each step checks by itself what it needs.
//
// `changes` is read before all of it: see SpaceGate::standstill().
bool Shard::poll() {
    const std::uint64_t changes = context_.bands.changes();
    rest_.store(SpaceGate::kRestless, std::memory_order_release);
    bool any = take_mail();
    any |= table_.answer();
    any |= tps_.poll();
    any |= pipeline_.poll_commits();
    any |= pipeline_.advance_durable();
    any |= context_.cache.poll();
    any |= pipeline_.publish();
    any |= reads_.poll();
    any |= writes_.pump();
    if (closing_ && writes_.empty()) any |= pipeline_.seal_rest();
    any |= pipeline_.journal();
    any |= pipeline_.start_commits();
    any |= end_flushes();
    any |= table_.sweep();
    any |= table_.fetch_patched();
    if (!closing_) any |= mirror_fill_.poll();
    if (rests()) rest_.store(changes, std::memory_order_release);
    look_for_failures();
    return any;
}

// A drive of the TPS or the table failed, or no place could be found for a segment: what was
// acknowledged is safe on media, and nothing more is acknowledged.
void Shard::look_for_failures() {
    const PageCache& cache = context_.cache;
    if (cache.met_damage()) table_damaged_.store(true, std::memory_order_relaxed);
    if (pipeline_.failed() || cache.failed() || context_.gate.failed()) context_.failed = true;
    if (!failed()) return;
    context_.gate.fail(context_.queue);
    // What the TPS has comes back with its record, what reads from drives by its completion.
    writes_.fail_all();
    pipeline_.fail_all();
}

bool Shard::busy() const {
    return context_.barrier.writes_in_flight() || reads_.waiting() || !pipeline_.all_published() ||
           closing_ || table_.busy() || !mirror_fill_.done() || context_.queue.in_flight() != 0;
}

// What it has appended is published, or waits for a place. Users may read meanwhile.
bool Shard::rests() const {
    return pipeline_.rests() && tps_.idle() && publisher_.trims_applied() && writes_.rests() &&
           mailbox_.empty() && !table_.has_mail();
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
    switch (op.kind) {
        case OpKind::read:
            reads_.start(op);
            break;
        case OpKind::write:
        case OpKind::trim:
            context_.barrier.enter(op);
            writes_.push(op);
            break;
        case OpKind::flush:
            context_.barrier.add(op);
            break;
        case OpKind::mapped:
            reads_.look_for_data(op);
            break;
    }
}

bool Shard::end_flushes() {
    OpFifo ended;
    const bool any = context_.barrier.poll(ended);
    while (!ended.empty()) context_.finish(ended.pop_front());
    return any;
}

bool Shard::done_with(Phase phase) {
    if (phase == Phase::draining) return drained();
    if (phase != Phase::flushing) return true;
    return failed() || canary(Canary::table_not_flushed) || context_.cache.flushed();
}

bool Shard::drained() const {
    if (!closing_ || !context_.barrier.idle() || !reads_.idle() || !mailbox_.empty()) return false;
    if (failed()) return context_.queue.in_flight() == 0;
    return pipeline_.open_empty() && pipeline_.all_published() && tps_.idle() && patched();
}

}  // namespace qlcshape
