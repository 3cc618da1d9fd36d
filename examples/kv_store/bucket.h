// SPDX-License-Identifier: Apache-2.0
// A bucket's records in memory, and their form in the volume (layout.h).
#pragma once

#include <qlcshape/error.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kv_store/layout.h"

namespace kv_store {

using Bytes = std::vector<std::byte>;

struct Record {
    std::string key;
    std::string value;  // if it is here
    std::uint32_t value_bytes = 0;
    std::optional<Extent> extent;  // else where it is
};

class Bucket {
  public:
    Bucket() = default;
    explicit Bucket(std::uint64_t number) : number_(number) {}

    // From a whole block of the index, or from the extent that one led to. `buckets`, of the store,
    // tells whether the keys belong here.
    static qlcshape::Result<Bucket> decode(std::span<const std::byte> bytes, std::uint64_t number,
                                           std::uint64_t buckets);
    Bytes encode() const;  // whole blocks, the last one filled up with zeroes

    const Record* find(std::string_view key) const;
    void put(Record record);  // in place of the one with its key
    bool remove(std::string_view key);

    std::uint64_t number() const { return number_; }
    const std::vector<Record>& records() const { return records_; }
    std::size_t encoded_bytes() const { return bytes_; }

    // The extent that holds the records, if they have outgrown the bucket's block.
    std::optional<Extent> body;

  private:
    void append(Record record);

    std::uint64_t number_ = 0;
    std::vector<Record> records_;
    std::size_t bytes_ = sizeof(BucketHead);
};

// The block of the index for a bucket whose records are in `body`, and back; no body if the block
// holds the records itself.
Bytes encode_pointer(std::uint64_t number, Extent body);
qlcshape::Result<std::optional<Extent>> decode_pointer(std::span<const std::byte> block,
                                                       std::uint64_t number);

// What a record takes of its bucket.
std::size_t encoded_bytes(const Record& record);

}  // namespace kv_store
