// SPDX-License-Identifier: Apache-2.0
#include "kv_store/batch.h"

#include <algorithm>

namespace kv_store {

using qlcshape::Op;
using qlcshape::Result;
using qlcshape::Status;

Batch::Batch(BucketState& state, std::uint64_t buckets, VolumeIo& io, Space& space,
             std::move_only_function<void()> over)
    : state_(state), buckets_(buckets), io_(io), space_(space), over_(std::move(over)) {}

void Batch::start() {
    if (state_.bucket) {
        apply();
    } else {
        load();
    }
}

// --- load ---

void Batch::load() {
    index_.extent = {1 + state_.number, 1};
    read(index_, [this](Status status) {
        if (!status) return fail(status.error());
        const auto body = decode_pointer(index_.bytes, state_.number);
        if (!body) return fail(body.error());
        if (*body) return load_body(**body);
        loaded(index_.bytes, std::nullopt);
    });
}

void Batch::load_body(Extent body) {
    index_.extent = body;
    read(index_, [this, body](Status status) {
        if (!status) return fail(status.error());
        loaded(index_.bytes, body);
    });
}

void Batch::loaded(std::span<const std::byte> bytes, std::optional<Extent> body) {
    Result<Bucket> bucket = Bucket::decode(bytes, state_.number, buckets_);
    if (!bucket) return fail(bucket.error());
    state_.bucket = std::move(*bucket);
    state_.bucket->body = body;
    apply();
}

// --- prepare, publish, finish ---

// Decides where the changed bucket goes. A bucket that grew has its new extent already.
void Batch::plan_publish() {
    const Extent home{1 + state_.number, 1};
    if (next_->encoded_bytes() <= kBlockBytes) {
        if (next_->body) outcome_.freed.push_back(*next_->body);
        next_->body.reset();
        index_ = {home, next_->encode()};
        return;
    }
    const auto& before = state_.bucket->body;
    if (before && before->first == next_->body->first) {
        Bytes bytes = next_->encode();
        const Extent part{before->first, blocks_for(bytes.size())};
        index_ = {part, std::move(bytes)};
        return;
    }
    Bytes bytes = next_->encode();
    const Extent part{next_->body->first, blocks_for(bytes.size())};
    writes_.push_back({part, std::move(bytes)});
    index_ = {home, encode_pointer(state_.number, *next_->body)};
}

void Batch::prepare() {
    if (next_) plan_publish();
    waiting_ = 1 + writes_.size() + lookups_.size();
    for (Transfer& transfer : writes_) {
        write(transfer, [this](Status status) {
            if (!status) failure_ = status.error();
            part_done();
        });
    }
    for (Lookup& lookup : lookups_) {
        read(lookup.transfer, [this, &lookup](Status status) {
            value_read(lookup, std::move(status));
            part_done();
        });
    }
    part_done();
}

void Batch::value_read(Lookup& lookup, Status status) {
    Result<Answer>& answer = outcome_.answers[lookup.answer].second;
    if (!status) {
        answer = std::unexpected(status.error());
        return;
    }
    const Bytes& bytes = lookup.transfer.bytes;
    answer->value.assign(reinterpret_cast<const char*>(bytes.data()), lookup.value_bytes);
}

void Batch::part_done() {
    if (--waiting_ > 0) return;
    if (failure_) return fail(*failure_);
    if (next_) return publish();
    finish();
}

void Batch::publish() {
    write(index_, [this](Status status) {
        if (!status) return fail(status.error());
        finish();
    });
}

void Batch::finish() {
    if (next_) state_.bucket = std::move(*next_);
    over_();
}

// What is in the volume is not known now: the bucket is read again when it is needed, and the
// batch's extents stay taken until the next open.
void Batch::fail(const qlcshape::Error& error) {
    if (!state_.bucket) {  // it could not be loaded, so no task has been taken
        for (Task& task : state_.tasks)
            outcome_.answers.emplace_back(std::move(task.done), Answer{});
        state_.tasks.clear();
    }
    for (auto& [done, answer] : outcome_.answers) answer = std::unexpected(error);
    outcome_.freed.clear();
    outcome_.keys_added = 0;
    state_.bucket.reset();
    over_();
}

void Batch::write(Transfer& transfer, VolumeIo::Done done) {
    io_.submit(Op::write, transfer.extent.offset_bytes(), transfer.extent.bytes(),
               transfer.bytes.data(), std::move(done));
}

void Batch::read(Transfer& transfer, VolumeIo::Done done) {
    transfer.bytes.resize(transfer.extent.bytes());
    io_.submit(Op::read, transfer.extent.offset_bytes(), transfer.extent.bytes(),
               transfer.bytes.data(), std::move(done));
}

}  // namespace kv_store
