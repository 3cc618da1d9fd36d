// SPDX-License-Identifier: Apache-2.0
#include "engine/request_table.h"

#include <algorithm>

#include "base/callback.h"
#include "base/probe.h"
#include "engine/ending.h"
#include "engine/limits.h"
#include "placement/failures.h"

namespace qlcshape {

namespace {

const char* to_string(Op op) {
    switch (op) {
        case Op::read:
            return "read";
        case Op::write:
            return "write";
        case Op::write_zeroes:
            return "write-zeroes";
        case Op::trim:
            return "trim";
        case Op::flush:
            return "flush";
        case Op::mapped:
            return "look for data";
    }
    return "request";
}

std::uint64_t page_end(std::uint64_t offset) {
    return round_down(offset, kPageSpanBytes) + kPageSpanBytes;
}

std::uint64_t pages_in(std::uint64_t from, std::uint64_t to) {
    return to <= from ? 0 : div_up(to, kPageSpanBytes) - from / kPageSpanBytes;
}

}  // namespace

RequestTable::RequestTable(const ArrayContext& array, const SpaceGate& gate,
                           std::vector<Shard*> shards, std::uint32_t most, Clock& clock,
                           std::atomic<std::uint32_t>& in_flight)
    : array_(array),
      gate_(gate),
      shards_(std::move(shards)),
      clock_(clock),
      requests_(most),
      in_flight_(in_flight) {
    idle_.reserve(most);
    for (Active& active : requests_) {
        active.table = this;
        idle_.push_back(&active);
    }
}

Status RequestTable::check(const VolumeState& volume, const Request& r) const {
    if (volume.deleted) return fail(Errc::not_found, "volume {}: it was deleted", volume.name);
    if (r.op == Op::flush) return {};
    const std::uint64_t end = volume.bytes();
    const std::uint64_t unit = r.op == Op::mapped ? kBlockBytes : kSectorBytes;
    if (r.offset_bytes % unit != 0 || r.bytes % unit != 0) {
        return fail(Errc::invalid_argument,
                    "volume {}: {} of {} bytes at {}: offset and length must be multiples of {}",
                    volume.name, to_string(r.op), r.bytes, r.offset_bytes, unit);
    }
    // Not offset + bytes > end: that sum may overflow.
    if (r.offset_bytes > end || r.bytes > end - r.offset_bytes) {
        return fail(Errc::invalid_argument,
                    "volume {}: {} of {} bytes at {}: the range extends past the end of the "
                    "volume, which has {} bytes",
                    volume.name, to_string(r.op), r.bytes, r.offset_bytes, end);
    }
    const bool has_data = r.op == Op::read || r.op == Op::write || r.op == Op::mapped;
    if (r.data == nullptr && r.bytes != 0 && has_data) {
        return fail(Errc::invalid_argument, "volume {}: {} without a buffer", volume.name,
                    to_string(r.op));
    }
    return {};
}

Status RequestTable::begin(VolumeState& volume, Request request) {
    // Before the look at the volume: who changes it waits afterwards.
    const std::uint32_t side = volume.enter();
    const Status taken = take(volume, side, request);
    if (!taken) volume.leave(side);
    return taken;
}

Status RequestTable::take(VolumeState& volume, std::uint32_t side, Request& request) {
    QS_TRY(in_words(Errc::invalid_argument, [&] { return check(volume, request); }));
    Active* active = nullptr;
    {
        const Locked lock(mutex_);
        if (idle_.empty()) {
            return in_words(Errc::busy, [this]() -> Status {
                return fail(Errc::busy,
                            "{} requests are in flight; submit again when some have completed",
                            requests_.size());
            });
        }
        active = idle_.back();
        idle_.pop_back();
    }
    active->volume = &volume;
    active->side = side;
    active->request = std::move(request);
    active->begun_ns = clock_.now_ns();
    QS_PROBE(request_begin, static_cast<int>(active->request.op), active->request.offset_bytes,
             active->request.bytes);
    // Nobody else has it before run_pieces(), which hands it to shards' threads by their mailboxes.
    active->next_piece.store(0, std::memory_order_relaxed);
    active->failed.store(false, std::memory_order_relaxed);
    cut(*active);
    active->live.store(true);
    run_pieces(*active);
    return {};
}

// Takes no place in the table: the caller's thread does all of it. It does count on the volume's
// side, so a change of the volume waits for it. Within one page, since one shard is looked into.
bool RequestTable::read_inline(VolumeState& volume, std::uint64_t offset, std::uint64_t bytes,
                               void* data, IoQueue& queue, DirectRead& direct) {
    if (bytes == 0 || pages_in(offset, offset + bytes) != 1) return false;
    const std::uint32_t side = volume.enter();
    const std::uint64_t begun_ns = clock_.now_ns();
    bool good = in_words(Errc::invalid_argument, [&] {
                    return check(volume, {Op::read, offset, bytes, data, {}});
                }).has_value();
    if (good) {
        PageOp op;
        set_range(volume, op, offset, offset + bytes);
        op.data = static_cast<std::byte*>(data);
        good = shard_of(op).read_inline(op, queue, direct);
        if (!good) {
            verify_failed_here_.fetch_add(direct.wrong_blocks, std::memory_order_relaxed);
            io_errors_here_.fetch_add(direct.io_failed ? 1 : 0, std::memory_order_relaxed);
        }
    }
    if (good) {
        const std::uint64_t took = clock_.elapsed_ns(begun_ns);
        QS_PROBE(request_begin, static_cast<int>(Op::read), offset, bytes);
        QS_PROBE(request_done, static_cast<int>(Op::read), bytes, took);
        reads_.add(took);
        bytes_read_here_.fetch_add(bytes, std::memory_order_relaxed);
    }
    volume.leave(side);
    return good;
}

std::uint64_t RequestTable::counted_here(Counter counter) const {
    switch (counter) {
        case Counter::user_read_bytes:
            return bytes_read_here_.load(std::memory_order_relaxed);
        case Counter::verify_failed:
            return verify_failed_here_.load(std::memory_order_relaxed);
        case Counter::io_errors:
            return io_errors_here_.load(std::memory_order_relaxed);
        default:
            return 0;
    }
}

// A block covered in part at the range's begin (which may be its end, too), and one at its end.
bool RequestTable::has_head(const Active& a) {
    return a.request.offset_bytes < a.inner_begin && a.request.bytes != 0;
}

bool RequestTable::has_tail(const Active& a) {
    const std::uint64_t to = a.request.offset_bytes + a.request.bytes;
    return to > a.inner_end && to > a.inner_begin;
}

// Trims take whole blocks only, the inner ones: what is covered in part keeps its contents. Pieces
// are counted here and made one by one in next(), so that their number takes no memory.
void RequestTable::cut(Active& a) {
    const std::uint64_t from = a.request.offset_bytes;
    const std::uint64_t to = from + a.request.bytes;
    a.inner_begin = round_up(from, kBlockBytes);
    a.inner_end = std::max(a.inner_begin, round_down(to, kBlockBytes));
    switch (a.request.op) {
        case Op::flush:
            a.pieces = a.table->shards_.size();
            break;
        case Op::trim:
            a.pieces = pages_in(a.inner_begin, a.inner_end);
            break;
        case Op::write_zeroes:
            // Zeroes are as atomic as data: where blocks are covered in part all of it is one
            // write.
            if (a.request.bytes <= kAtomicWriteBytes && pages_in(from, to) == 1 &&
                (has_head(a) || has_tail(a)))
                a.inner_begin = a.inner_end = to;
            a.pieces = pages_in(a.inner_begin, a.inner_end) + (has_head(a) ? 1 : 0) +
                       (has_tail(a) ? 1 : 0);
            break;
        default:
            a.pieces = pages_in(from, to);
    }
}

// Starts the first pieces; each piece that ends starts the next. The loop counts as a piece, for
// the first may have ended before the last has begun, and would end the request.
void RequestTable::run_pieces(Active& a) {
    const auto at_once = static_cast<std::uint32_t>(std::min<std::uint64_t>(kAtOnce, a.pieces));
    a.running.store(at_once + 1, std::memory_order_relaxed);  // one for this loop
    for (std::uint32_t i = 0; i < at_once; ++i) {
        PageOp& op = a.ops[i];
        if (next(a, op)) continue;
        a.running.fetch_sub(1);
    }
    if (a.running.fetch_sub(1) == 1) end(a);
}

// Pieces may end on several shards' threads at once: each takes another number. Those past the last
// find nothing, which ends their part.
bool RequestTable::next(Active& a, PageOp& op) {
    const std::uint64_t piece = a.next_piece.fetch_add(1);
    if (piece >= a.pieces || a.failed.load(std::memory_order_relaxed)) return false;
    op = PageOp{};
    op.context = &a;
    op.done = [](PageOp& done) { static_cast<Active*>(done.context)->table->piece_done(done); };
    const std::uint64_t from = a.request.offset_bytes;
    const std::uint64_t to = from + a.request.bytes;
    auto page_piece = [&](OpKind kind, std::uint64_t begin, std::uint64_t end,
                          std::uint64_t index) {
        const std::uint64_t start =
            index == 0 ? begin : round_down(begin, kPageSpanBytes) + index * kPageSpanBytes;
        make_range(a, op, kind, start, std::min(end, page_end(start)));
    };
    switch (a.request.op) {
        case Op::flush:
            op.kind = OpKind::flush;
            shards_[piece]->submit(op);
            return true;
        case Op::read:
            page_piece(OpKind::read, from, to, piece);
            break;
        case Op::write:
            page_piece(OpKind::write, from, to, piece);
            break;
        case Op::mapped:
            page_piece(OpKind::mapped, from, to, piece);
            break;
        case Op::trim:
            page_piece(OpKind::trim, a.inner_begin, a.inner_end, piece);
            break;
        case Op::write_zeroes: {
            const std::uint64_t pages = pages_in(a.inner_begin, a.inner_end);
            if (piece < pages)
                page_piece(OpKind::trim, a.inner_begin, a.inner_end, piece);
            else if (piece == pages && has_head(a))
                make_range(a, op, OpKind::write, from, std::min(a.inner_begin, to));
            else
                make_range(a, op, OpKind::write, a.inner_end, to);
            break;
        }
    }
    shard_of(op).submit(op);
    return true;
}

void RequestTable::set_range(const VolumeState& volume, PageOp& op, std::uint64_t from,
                             std::uint64_t to) {
    op.first = volume.lba_of(from);
    op.head_skip = static_cast<std::uint32_t>(from % kBlockBytes);
    op.bytes = to - from;
    op.blocks = static_cast<std::uint32_t>(div_up(to, kBlockBytes) - from / kBlockBytes);
}

// In the caller's buffer `mapped` has one byte per block; reads and writes have their bytes.
void RequestTable::make_range(Active& a, PageOp& op, OpKind kind, std::uint64_t from,
                              std::uint64_t to) {
    op.kind = kind;
    a.offsets[static_cast<std::size_t>(&op - a.ops.data())] = from;
    set_range(*a.volume, op, from, to);
    if (a.request.data != nullptr && a.request.op != Op::write_zeroes) {
        const std::uint64_t skipped = from - a.request.offset_bytes;
        op.data = static_cast<std::byte*>(a.request.data) +
                  (kind == OpKind::mapped ? skipped / kBlockBytes : skipped);
    }
}

// The first failure is the one that is reported, by whoever ends the last piece.
void RequestTable::piece_done(PageOp& op) {
    Active& a = *static_cast<Active*>(op.context);
    if (op.failed && !a.failed.exchange(true)) {
        a.error = op.error;
        // Of a piece that crosses no extent: blocks are in order.
        const std::uint64_t start = a.offsets[static_cast<std::size_t>(&op - a.ops.data())];
        a.bad_offset =
            round_down(start, kBlockBytes) + (op.bad_lba.value - op.first.value) * kBlockBytes;
    }
    if (next(a, op)) return;
    if (a.running.fetch_sub(1) == 1) end(a);
}

bool RequestTable::any() const {
    const Locked lock(mutex_);
    return idle_.size() != requests_.size();
}

// Their places are not used again: pieces of theirs may lie in a shard.
void RequestTable::end_all(const std::string& why) {
    for (Active& a : requests_) {
        if (!a.live.exchange(false)) continue;
        answer(a,
               in_words(Errc::io_error,
                        [&]() -> Status {
                            return fail(Errc::io_error,
                                        "volume {}: {} at byte {}: the array stopped {}; {}",
                                        a.volume->name, to_string(a.request.op),
                                        a.request.offset_bytes, why,
                                        remedy(gate_, array_, Then::close_and_open));
                        }),
               false);
    }
}

void RequestTable::end(Active& a) {
    if (a.live.exchange(false)) answer(a, in_words(a.error, [&] { return outcome_of(a); }), true);
}

// In words that name the volume and the place in it, since a program knows nothing of LBAs.
Status RequestTable::outcome_of(const Active& a) const {
    const Op op = a.request.op;
    if (!a.failed) return {};
    if (a.error == Errc::media_error && beyond_parity(array_)) {
        return fail(Errc::io_error,
                    "volume {}: {} at byte {}: more drives fail than parity covers ({}); {}",
                    a.volume->name, to_string(op), a.bad_offset, drive_failures(array_),
                    kReconnect);
    }
    if (a.error == Errc::media_error) {
        return fail(a.error,
                    "volume {}: {} at byte {}: the block can't be read, and parity could not "
                    "reconstruct it; {}",
                    a.volume->name, to_string(op), a.bad_offset,
                    drives_away(array_) != 0
                        ? kReconnect
                        : "close the array and open it again, which may repair it; otherwise "
                          "overwrite or trim it, and run `qlcshape check`");
    }
    return fail(a.error, "volume {}: {} at byte {}: writing has ended {}; {}", a.volume->name,
                to_string(op), a.bad_offset, ending(gate_, array_),
                remedy(gate_, array_, Then::close_and_open));
}

// The place is given back before `done` is called, which may submit the next request: so that one
// with kMaxRequests in flight can go on. From then on it is another's, so all that is needed of it
// was taken out. in_flight_ comes last: when it is 0 closing lets table and volumes go.
void RequestTable::answer(Active& a, Status status, bool reuse) {
    const Op op = a.request.op;
    const std::uint64_t took = clock_.elapsed_ns(a.begun_ns);
    QS_PROBE(request_done, static_cast<int>(op), a.request.bytes, took);
    if (op == Op::read) reads_.add(took);
    if (op == Op::write) writes_.add(took);
    auto done = std::move(a.request.done);
    struct Leave {
        RequestTable& table;
        VolumeState& volume;
        std::uint32_t side;
        ~Leave() {
            volume.leave(side);
            table.in_flight_.fetch_sub(1);
        }
    } const leave{*this, *a.volume, a.side};
    if (reuse) {
        const Locked lock(mutex_);
        idle_.push_back(&a);
    }
    if (done) {
        const InCallback mark;
        try {
            done(std::move(status));
        } catch (...) {
            done_threw_.store(true, std::memory_order_relaxed);
        }
    }
}

}  // namespace qlcshape
