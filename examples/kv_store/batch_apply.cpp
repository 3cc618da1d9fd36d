// SPDX-License-Identifier: Apache-2.0
// What each task does to the bucket, in DRAM. Nothing here waits.
#include <algorithm>
#include <bit>
#include <cstring>

#include "kv_store/batch.h"

namespace kv_store {

using qlcshape::Errc;
using qlcshape::Error;
using qlcshape::Result;
using qlcshape::Status;

namespace {

std::unexpected<Error> no_space(const std::string& what) {
    return std::unexpected(Error{Errc::no_space, what});
}

}  // namespace

void Batch::apply() {
    while (!state_.tasks.empty() && !writes_value_of(state_.tasks.front())) {
        Task task = std::move(state_.tasks.front());
        state_.tasks.pop_front();
        // The answer is in its place before a lookup may refer to it.
        outcome_.answers.emplace_back(std::move(task.done), Answer{});
        Result<Answer> answer = apply(task);
        outcome_.answers.back().second = std::move(answer);
    }
    prepare();
}

// Whether the task asks for a large value that this batch is about to write; then it is one for the
// next batch.
bool Batch::writes_value_of(const Task& task) const {
    if (task.kind != Task::Kind::get) return false;
    const Record* record = now().find(task.key);
    return record && record->extent && std::ranges::any_of(writes_, [&](const Transfer& write) {
               return write.extent.first == record->extent->first;
           });
}

Result<Answer> Batch::apply(Task& task) {
    switch (task.kind) {
        case Task::Kind::get:
            return get(task);
        case Task::Kind::exists:
            return Answer{.found = now().find(task.key) != nullptr, .value = {}, .keys = {}};
        case Task::Kind::set:
            if (Status done = set(task); !done) return std::unexpected(done.error());
            return Answer{};
        case Task::Kind::remove:
            return Answer{.found = remove(task), .value = {}, .keys = {}};
        case Task::Kind::list:
            break;
    }
    return list();
}

Result<Answer> Batch::get(const Task& task) {
    const Record* record = now().find(task.key);
    if (!record) return Answer{};
    if (record->extent) {
        lookups_.push_back(
            {outcome_.answers.size() - 1, record->value_bytes, {*record->extent, {}}});
    }
    return Answer{.found = true, .value = record->value, .keys = {}};
}

Result<Answer> Batch::list() const {
    Answer answer;
    for (const Record& record : now().records()) answer.keys.push_back(record.key);
    return answer;
}

Status Batch::set(Task& task) {
    const Record* old = now().find(task.key);
    Record record{std::move(task.key), {}, static_cast<std::uint32_t>(task.value.size()), {}};
    if (Status placed = place_value(record, task.value); !placed) return placed;

    if (!next_) next_ = *state_.bucket;
    const std::size_t replaced = old ? encoded_bytes(*old) : 0;
    const std::optional<Extent> replaced_extent = old ? old->extent : std::nullopt;
    const bool added = old == nullptr;
    if (Status room = make_room(next_->encoded_bytes() - replaced + encoded_bytes(record)); !room) {
        if (record.extent) {
            space_.free(*record.extent);
            writes_.pop_back();
        }
        return room;
    }
    if (replaced_extent) outcome_.freed.push_back(*replaced_extent);
    if (added) ++outcome_.keys_added;
    next_->put(std::move(record));
    return {};
}

Status Batch::place_value(Record& record, const std::string& value) {
    if (value.size() <= kMaxInlineValueBytes) {
        record.value = value;
        return {};
    }
    record.extent = space_.allocate(blocks_for(value.size()));
    if (!record.extent) {
        return no_space("no free extent of " + std::to_string(blocks_for(value.size())) +
                        " blocks for the value; delete keys, or use a larger volume");
    }
    Bytes bytes(record.extent->bytes());
    std::memcpy(bytes.data(), value.data(), value.size());
    writes_.push_back({*record.extent, std::move(bytes)});
    return {};
}

// Sees to it that the bucket may become this long, if need be by a new, larger extent. That is
// aligned to its length, so it never crosses a multiple of 2 MiB and can be written atomically.
Status Batch::make_room(std::size_t bytes) {
    if (bytes <= (next_->body ? next_->body->bytes() : kBlockBytes)) return {};
    if (bytes > kMaxBucketBytes) {
        return no_space("the key's bucket is full; the volume is too small for so many keys");
    }
    const std::uint64_t blocks = std::bit_ceil(blocks_for(bytes));
    const std::optional<Extent> body = space_.allocate(blocks, blocks);
    if (!body) {
        return no_space("no free extent for the key's bucket; delete keys, or use a larger volume");
    }
    if (next_->body) outcome_.freed.push_back(*next_->body);
    next_->body = body;
    return {};
}

bool Batch::remove(const Task& task) {
    const Record* old = now().find(task.key);
    if (!old) return false;
    if (old->extent) outcome_.freed.push_back(*old->extent);
    if (!next_) next_ = *state_.bucket;
    next_->remove(task.key);
    --outcome_.keys_added;
    return true;
}

}  // namespace kv_store
