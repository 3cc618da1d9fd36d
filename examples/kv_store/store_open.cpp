// SPDX-License-Identifier: Apache-2.0
// Formatting, and the scan that finds out at each open what is not kept in the volume: how many
// keys there are, and which blocks are free.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "kv_store/store.h"

namespace kv_store {

using qlcshape::Errc;
using qlcshape::Error;
using qlcshape::Result;
using qlcshape::Status;
using qlcshape::Volume;

namespace {

constexpr std::uint64_t kChunkBlocks = 256;
constexpr std::uint64_t kMinBlocks = 64;

std::unexpected<Error> refuse(const Volume& volume, Errc code, const std::string& why) {
    return std::unexpected(Error{code, "volume \"" + volume.name() + "\": " + why});
}

// Calls `each(block number, bytes)` for blocks [from, to).
template <class Each>
Status read_blocks(const Volume& volume, std::uint64_t from, std::uint64_t to, Each each) {
    Bytes chunk(kChunkBlocks * kBlockBytes);
    for (std::uint64_t at = from; at < to; at += kChunkBlocks) {
        const std::uint64_t blocks = std::min(kChunkBlocks, to - at);
        const std::span<std::byte> bytes(chunk.data(), blocks * kBlockBytes);
        if (Status read = volume.read(at, bytes); !read) return read;
        for (std::uint64_t i = 0; i < blocks; ++i) {
            if (Status ok = each(at + i, bytes.subspan(i * kBlockBytes, kBlockBytes)); !ok) {
                return ok;
            }
        }
    }
    return {};
}

Result<Header> format(const Volume& volume) {
    const Status blank = read_blocks(
        volume, 0, volume.blocks(),
        [&](std::uint64_t block, std::span<const std::byte> bytes) -> Status {
            if (std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; })) {
                return {};
            }
            return refuse(volume, Errc::exists,
                          "block " + std::to_string(block) +
                              " holds data that is not a key-value store's; give an empty volume");
        });
    if (!blank) return std::unexpected(blank.error());

    Header header{};
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    header.version = kVersion;
    header.block_bytes = kBlockBytes;
    header.blocks = volume.blocks();
    header.buckets = buckets_for(header.blocks);
    Bytes block(kBlockBytes);
    std::memcpy(block.data(), &header, sizeof(header));
    if (Status written = volume.write(0, block); !written) return std::unexpected(written.error());
    return header;
}

Result<Header> read_header(const Volume& volume) {
    Bytes block(kBlockBytes);
    if (Status read = volume.read(0, block); !read) return std::unexpected(read.error());
    Header header;
    std::memcpy(&header, block.data(), sizeof(header));
    if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) return format(volume);
    if (header.version != kVersion) {
        return refuse(volume, Errc::unsupported,
                      "its key-value store has version " + std::to_string(header.version) +
                          ", this program knows " + std::to_string(kVersion));
    }
    if (header.block_bytes != kBlockBytes || header.blocks != volume.blocks() ||
        header.buckets != buckets_for(header.blocks)) {
        return refuse(volume, Errc::damaged,
                      "the header of its key-value store does not fit the volume's size");
    }
    return header;
}

}  // namespace

Store::Store(Volume volume, const Header& header)
    : io_(std::move(volume)), buckets_(header.buckets), space_(1 + buckets_, header.blocks) {}

Result<std::unique_ptr<Store>> Store::open(Volume volume) {
    if (volume.blocks() < kMinBlocks) {
        return refuse(volume, Errc::invalid_argument,
                      "a key-value store needs " + std::to_string(kMinBlocks * kBlockBytes) +
                          " bytes at least");
    }
    if (volume.atomic_write_max() < kMaxBucketBytes) {
        return refuse(volume, Errc::unsupported, "it has no atomic writes of 64 KiB");
    }
    const Result<Header> header = read_header(volume);
    if (!header) return std::unexpected(header.error());
    std::unique_ptr<Store> store(new Store(std::move(volume), *header));
    if (Status scanned = store->scan(); !scanned) return std::unexpected(scanned.error());
    return store;
}

Status Store::scan() {
    return read_blocks(io_.volume(), 1, 1 + buckets_,
                       [this](std::uint64_t block, std::span<const std::byte> bytes) {
                           return scan_bucket(bytes, block - 1);
                       });
}

Status Store::bad_extent(Extent extent, std::uint64_t number) const {
    return refuse(io_.volume(), Errc::damaged,
                  "bucket " + std::to_string(number) + " of its key-value store has an extent at " +
                      "block " + std::to_string(extent.first) +
                      " that is another's or outside the heap");
}

Status Store::scan_bucket(std::span<const std::byte> block, std::uint64_t number) {
    const auto body = decode_pointer(block, number);
    if (!body) return std::unexpected(body.error());
    Bytes bytes(block.begin(), block.end());
    if (*body) {
        if (!space_.take(**body)) return bad_extent(**body, number);
        bytes.resize((*body)->bytes());
        if (Status read = io_.volume().read((*body)->first, bytes); !read) return read;
    }
    const Result<Bucket> bucket = Bucket::decode(bytes, number, buckets_);
    if (!bucket) return std::unexpected(bucket.error());
    for (const Record& record : bucket->records()) {
        if (record.extent && !space_.take(*record.extent)) {
            return bad_extent(*record.extent, number);
        }
    }
    keys_ += bucket->records().size();
    return {};
}

}  // namespace kv_store
