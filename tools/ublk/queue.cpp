// SPDX-License-Identifier: Apache-2.0
#include "tools/ublk/queue.h"

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/assert.h"
#include "base/error.h"

namespace qlcshape::ublk {

namespace {

std::optional<Op> op_of(const ublksrv_io_desc& description) {
    switch (ublksrv_get_op(&description)) {
        case UBLK_IO_OP_READ:
            return Op::read;
        case UBLK_IO_OP_WRITE:  // durable when it is done, with FUA or without
            return Op::write;
        case UBLK_IO_OP_FLUSH:
            return Op::flush;
        case UBLK_IO_OP_DISCARD:
            return Op::trim;
        case UBLK_IO_OP_WRITE_ZEROES:
            return Op::write_zeroes;
        default:
            return {};
    }
}

}  // namespace

int result_of(const Error& error) {
    switch (error.code) {
        case Errc::invalid_argument:
            return -EINVAL;
        case Errc::no_space:
            return -ENOSPC;
        case Errc::read_only:
            return -EROFS;
        case Errc::no_memory:
            return -ENOMEM;
        case Errc::unsupported:
            return -EOPNOTSUPP;
        default:
            return -EIO;
    }
}

Queue::Queue(Link& link, std::uint16_t depth, std::span<std::byte> memory, Submit submit,
             Report report)
    : link_(link),
      submit_(std::move(submit)),
      report_(std::move(report)),
      slot_bytes_(memory.size() / depth),
      slots_(depth) {
    for (std::uint16_t tag = 0; tag < depth; ++tag) {
        slots_[tag].tag = tag;
        slots_[tag].buffer = memory.data() + tag * slot_bytes_;
    }
    arrivals_.reserve(depth);
}

Status Queue::arm() {
    for (Slot& slot : slots_) link_.fetch(slot.tag, slot.buffer);
    arrivals_.clear();
    if (!link_.receive(Link::Wait::no, arrivals_)) return fail(Errc::io_error, "its ring failed");
    // The device is not started yet, so these are no requests.
    for (const Arrival& arrival : arrivals_) {
        return fail(Errc::io_error, "the kernel refuses slot {}: {}", arrival.tag,
                    std::strerror(-arrival.result));
    }
    return {};
}

Link::Wait Queue::about_to_wait() {
    asleep_.store(true, std::memory_order_seq_cst);
    if (!mailbox_.empty()) return Link::Wait::no;
    // Another queue may have the engine's requests: nobody wakes us when it is done with them.
    return refused_.empty() ? Link::Wait::until_something : Link::Wait::briefly;
}

bool Queue::turn() {
    const bool leaving = leaving_.load(std::memory_order_acquire);
    if (ended_ == slots_.size() || (leaving && in_flight_ == 0)) {
        link_.receive(Link::Wait::no, arrivals_);  // what was committed goes to the kernel
        return false;
    }
    arrivals_.clear();
    const bool good = link_.receive(about_to_wait(), arrivals_);
    asleep_.store(false, std::memory_order_relaxed);
    for (const Arrival& arrival : arrivals_) arrived(arrival);
    for (Slot* slot = mailbox_.take_all(); slot != nullptr;) {
        Slot* const next = slot->mail_next;  // the slot may have a new request before the next turn
        --in_flight_;
        finish(*slot, slot->status);
        slot = next;
    }
    retry_refused();
    return good;
}

void Queue::leave() {
    leaving_.store(true, std::memory_order_release);
    link_.wake();
}

void Queue::arrived(const Arrival& arrival) {
    QS_ASSERT(arrival.tag < slots_.size());
    if (arrival.result < 0) {
        ++ended_;
        return;
    }
    if (leaving_.load(std::memory_order_acquire)) return;
    submit(slots_[arrival.tag]);
}

void Queue::submit(Slot& slot) {
    const ublksrv_io_desc& description = link_.description(slot.tag);
    const auto op = op_of(description);
    if (!op) {
        finish(slot, fail(Errc::unsupported, "request {} of the block layer is not known",
                          ublksrv_get_op(&description)));
        return;
    }
    const bool has_data = *op == Op::read || *op == Op::write;
    Request request;
    request.op = *op;
    request.offset_bytes = description.start_sector * kSectorBytes;
    request.bytes = *op == Op::flush ? 0 : std::uint64_t{description.nr_sectors} * kSectorBytes;
    request.data = has_data ? slot.buffer : nullptr;
    request.done = [this, &slot](Status status) { put_back(slot, std::move(status)); };
    if (has_data && request.bytes > slot_bytes_) {
        finish(slot, fail(Errc::invalid_argument, "a request of {} bytes, more than max_sectors",
                          request.bytes));
        return;
    }
    slot.good = has_data ? static_cast<int>(request.bytes) : 0;
    ++in_flight_;
    const Status taken = submit_(std::move(request));
    if (taken) return;
    --in_flight_;
    if (taken.error().code == Errc::busy)
        refused_.push_back(slot);
    else
        finish(slot, taken);
}

void Queue::finish(Slot& slot, const Status& status) {
    if (!status) report_(status.error());
    link_.commit(slot.tag, slot.buffer, status ? slot.good : result_of(status.error()));
}

// On a thread of the engine, or on ours within submit().
void Queue::put_back(Slot& slot, Status status) {
    slot.status = std::move(status);
    mailbox_.put(slot);
    if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) link_.wake();
}

void Queue::retry_refused() {
    if (leaving_.load(std::memory_order_acquire)) return;
    for (Fifo<Slot> again = refused_.take(); !again.empty();) submit(again.pop_front());
}

}  // namespace qlcshape::ublk
