// SPDX-License-Identifier: Apache-2.0
// A segment in RAM while it is filled and committed: k data strips and room for P and Q, one after
// the other. Belongs to the thread that fills it; the memory is the owner's.
//
//   | header blocks: | slots 0 .. fill_ - 1: | room() slots | tombstone blocks: | P and Q, when |
//   | an entry a slot| data ->               |              |     <- ..., 1, 0  | it is placed  |
//   |<-- strip 0 -->|<-- strip 1 -->|   ...        |<----- strip k - 1 ------->|<- k ->|<-k+1->|
//
// Data and tombstones grow towards each other, so either may take all of it.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "band/band_table.h"
#include "base/buffer.h"
#include "format/segment_header.h"
#include "format/tombstone.h"
#include "placement/array_context.h"

namespace qlcshape {

class SegmentBuffer {
  public:
    SegmentBuffer(const ArrayLayout& layout, std::span<std::byte> memory)
        : layout_(layout), memory_(memory), header_(layout, memory.data()) {
        QS_ASSERT(memory.size() == bytes_needed(layout));
        ios_.resize(layout.width());
    }
    static std::uint64_t bytes_needed(const ArrayLayout& l) { return l.p.strip_bytes * l.width(); }

    // --- filling ---
    void reset() {
        fill_ = tombstones_ = tombstone_blocks_ = 0;
        min_version_ = UINT64_MAX;
        max_version_ = 0;
        std::memset(memory_.data(), 0, layout_.header_bytes());
    }
    std::uint32_t fill() const { return fill_; }
    bool empty() const { return fill_ == 0 && tombstones_ == 0; }
    // Slots left for data. Blocks of tombstones take theirs from the end.
    std::uint32_t room() const { return layout_.slots_per_segment - fill_ - tombstone_blocks_; }
    bool has_tombstone_room() const {
        return tombstones_ < tombstone_blocks_ * kTombstonesPerBlock || room() > 0;
    }
    std::byte* slot_data(std::uint32_t slot) const {
        return memory_.data() + layout_.slot_byte(slot);
    }
    Entry entry(std::uint32_t slot) const { return header_.entry(slot); }

    // Takes the next slot, whose block the caller has filled in (slot_data(fill())).
    std::uint32_t append(const Entry& entry) {
        QS_ASSERT(room() > 0);
        header_.set_entry(fill_, entry);
        see_version(entry.version);
        return fill_++;
    }
    void append_tombstone(const Tombstone& t) {
        QS_ASSERT(has_tombstone_room());
        if (tombstones_ == tombstone_blocks_ * kTombstonesPerBlock) {
            ++tombstone_blocks_;
            std::memset(tombstone_block(tombstone_blocks_ - 1), 0, kBlockBytes);
        }
        store_tombstone(tombstone_block(tombstones_ / kTombstonesPerBlock),
                        tombstones_ % kTombstonesPerBlock, t);
        see_version(t.version);
        ++tombstones_;
    }
    std::uint32_t tombstones() const { return tombstones_; }
    std::uint32_t tombstone_blocks() const { return tombstone_blocks_; }
    Tombstone tombstone(std::uint32_t index) const {
        return load_tombstone(tombstone_block(index / kTombstonesPerBlock),
                              index % kTombstonesPerBlock);
    }

    // Ends filling: checksums of tombstone blocks, zeroes in slots that stay empty.
    void finish_filling();

    // Data strips then P then Q, by role.
    std::byte* strip(std::uint32_t role) const {
        return memory_.data() + role * layout_.p.strip_bytes;
    }
    SegmentHeader& header() { return header_; }
    Version min_version() const { return Version(min_version_); }
    Version max_version() const { return Version(max_version_); }

    // --- committing: the Committer's ---
    enum class Step : std::uint8_t { idle, placing, turn, writing, written, flushing, settling };
    Step step = Step::idle;
    Placement placement;
    std::uint32_t writes_pending = 0;
    bool write_failed = false;
    std::uint64_t failed_flushes = 0;  // on all drives, when its strips were written
    std::uint32_t attempts = 0;        // that failed by a write or flush of its own
    Device* refused_by = nullptr;      // the drive of the last of them
    std::size_t drives = 0;            // QLC drives that took columns at the last of them
    std::vector<Io>& ios() { return ios_; }

    // --- the owner's ---
    std::uint64_t sequence = 0;
    std::uint64_t tps_acked = 0;  // for the header, when it is committed
    SegmentBuffer* next = nullptr;

  private:
    std::byte* tombstone_block(std::uint32_t index) const {
        return slot_data(layout_.slots_per_segment - 1 - index);
    }
    void see_version(Version v) {
        min_version_ = std::min(min_version_, v.value);
        max_version_ = std::max(max_version_, v.value);
    }

    const ArrayLayout& layout_;
    std::span<std::byte> memory_;
    SegmentHeader header_;
    std::vector<Io> ios_;
    std::uint32_t fill_ = 0;
    std::uint32_t tombstones_ = 0;
    std::uint32_t tombstone_blocks_ = 0;
    std::uint64_t min_version_ = UINT64_MAX;
    std::uint64_t max_version_ = 0;
};

}  // namespace qlcshape
