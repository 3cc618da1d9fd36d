// SPDX-License-Identifier: Apache-2.0
#include "kv_store/bucket.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace kv_store {

using qlcshape::Errc;
using qlcshape::Error;
using qlcshape::Result;

namespace {

class Writer {
  public:
    explicit Writer(std::size_t bytes) : out_(blocks_for(bytes) * kBlockBytes) {}
    void put(const void* data, std::size_t bytes) {
        if (bytes > 0) std::memcpy(out_.data() + at_, data, bytes);
        at_ += bytes;
    }
    Bytes take() { return std::move(out_); }

  private:
    Bytes out_;
    std::size_t at_ = 0;
};

class Reader {
  public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
    bool has(std::size_t bytes) const { return bytes <= bytes_.size() - at_; }
    template <class T>
    bool get(T& value) {
        if (!has(sizeof(T))) return false;
        std::memcpy(&value, bytes_.data() + at_, sizeof(T));
        at_ += sizeof(T);
        return true;
    }
    bool get(std::string& text, std::size_t bytes) {
        if (!has(bytes)) return false;
        text.assign(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes);
        at_ += bytes;
        return true;
    }
    std::size_t position() const { return at_; }

  private:
    std::span<const std::byte> bytes_;
    std::size_t at_ = 0;
};

std::unexpected<Error> damaged(std::uint64_t number, const std::string& what) {
    return std::unexpected(Error{
        Errc::damaged, "bucket " + std::to_string(number) + " of the key-value store, block " +
                           std::to_string(1 + number) + " of its volume: " + what +
                           "; something else has written to the volume"});
}

bool read_record(Reader& in, Record& record) {
    RecordHead head;
    if (!in.get(head) || head.key_bytes > kMaxKeyBytes || head.in_extent > 1) return false;
    if (head.value_bytes > (head.in_extent ? kMaxValueBytes : kMaxInlineValueBytes)) return false;
    if (!in.get(record.key, head.key_bytes)) return false;
    record.value_bytes = head.value_bytes;
    if (!head.in_extent) return in.get(record.value, head.value_bytes);
    record.extent.emplace();
    record.extent->blocks = blocks_for(head.value_bytes);
    return in.get(record.extent->first);
}

Result<BucketHead> read_head(Reader& in, std::uint64_t number) {
    BucketHead head;
    if (!in.get(head)) return damaged(number, "it is shorter than its head");
    if (head.kind != BucketKind::empty && head.bucket != number) {
        return damaged(number, "it says it is bucket " + std::to_string(head.bucket));
    }
    return head;
}

}  // namespace

std::size_t encoded_bytes(const Record& record) {
    return sizeof(RecordHead) + record.key.size() +
           (record.extent ? sizeof(record.extent->first) : record.value.size());
}

const Record* Bucket::find(std::string_view key) const {
    const auto found = std::ranges::find(records_, key, &Record::key);
    return found == records_.end() ? nullptr : &*found;
}

void Bucket::put(Record record) {
    remove(record.key);
    append(std::move(record));
}

void Bucket::append(Record record) {
    bytes_ += kv_store::encoded_bytes(record);
    records_.push_back(std::move(record));
}

bool Bucket::remove(std::string_view key) {
    const auto found = std::ranges::find(records_, key, &Record::key);
    if (found == records_.end()) return false;
    bytes_ -= kv_store::encoded_bytes(*found);
    *found = std::move(records_.back());
    records_.pop_back();
    return true;
}

Bytes Bucket::encode() const {
    Writer out(bytes_);
    const BucketHead head{BucketKind::records, static_cast<std::uint32_t>(records_.size()), number_,
                          bytes_, Extent{}};
    out.put(&head, sizeof(head));
    for (const Record& record : records_) {
        const RecordHead record_head{static_cast<std::uint16_t>(record.key.size()),
                                     static_cast<std::uint16_t>(record.extent ? 1 : 0),
                                     record.value_bytes};
        out.put(&record_head, sizeof(record_head));
        out.put(record.key.data(), record.key.size());
        if (record.extent) {
            out.put(&record.extent->first, sizeof(record.extent->first));
        } else {
            out.put(record.value.data(), record.value.size());
        }
    }
    return out.take();
}

Result<Bucket> Bucket::decode(std::span<const std::byte> bytes, std::uint64_t number,
                              std::uint64_t buckets) {
    Reader in(bytes);
    const Result<BucketHead> head = read_head(in, number);
    if (!head) return std::unexpected(head.error());
    Bucket bucket(number);
    if (head->kind == BucketKind::empty) {
        if (std::ranges::any_of(bytes, [](std::byte b) { return b != std::byte{0}; })) {
            return damaged(number, "there is no head, but it is not empty");
        }
        return bucket;
    }
    if (head->kind != BucketKind::records) return damaged(number, "it holds no records");
    for (std::uint32_t i = 0; i < head->records; ++i) {
        Record record;
        if (!read_record(in, record)) return damaged(number, "a record has impossible lengths");
        if (hash(record.key) % buckets != number) {
            return damaged(number, "it has a key that belongs elsewhere");
        }
        bucket.append(std::move(record));
    }
    if (in.position() != head->bytes) return damaged(number, "its length does not fit its records");
    return bucket;
}

Bytes encode_pointer(std::uint64_t number, Extent body) {
    Writer out(sizeof(BucketHead));
    const BucketHead head{BucketKind::elsewhere, 0, number, sizeof(BucketHead), body};
    out.put(&head, sizeof(head));
    return out.take();
}

Result<std::optional<Extent>> decode_pointer(std::span<const std::byte> block,
                                             std::uint64_t number) {
    Reader in(block);
    const Result<BucketHead> head = read_head(in, number);
    if (!head) return std::unexpected(head.error());
    if (head->kind != BucketKind::elsewhere) return std::nullopt;
    if (head->body.blocks < 2 || head->body.blocks > blocks_for(kMaxBucketBytes)) {
        return damaged(number, "it points to an extent of an impossible length");
    }
    return head->body;
}

}  // namespace kv_store
