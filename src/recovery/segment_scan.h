// SPDX-License-Identifier: Apache-2.0
// Reads segments for recovery and for check: headers by the batch, and whole stripes to be proved.
// Every call blocks. Belongs to one thread: a team has a SegmentScan for each part.
//
// How prove() decides, and why it takes its time: recovery discards an unproved segment beyond the
// frontier, and that is right only if the power tore it. A controller that resets, and takes three
// drives away for a second, must not look like that.
//
//   first attempt ---- whole, mendable ------------------------------> whole, mendable
//        | unproved
//   more than two drives silent? ---- yes ---------------------------> unread
//        | no
//   second attempt --- whole, mendable ------------------------------> whole, mendable
//        | unproved
//   more than two drives silent? ---- yes ---------------------------> unread
//        | no
//        +-----------------------------------------------------------> unproved
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/buffer.h"
#include "base/error.h"
#include "format/band_page.h"
#include "format/segment_header.h"
#include "placement/array_context.h"
#include "segment/rebuild.h"

namespace qlcshape {

enum class Proof : std::uint8_t {
    whole,     // every block's checksum, P and Q are right
    mendable,  // what is wrong can be rebuilt, and was: blocks() are right
    unproved,  // not this segment, or more is wrong than P and Q can rebuild
    unread,    // not proved, and more than two drives don't answer
    unknown,   // its header is intact, and only a newer program can read it
};

class SegmentScan {
  public:
    SegmentScan(const ArrayContext& array, IoQueue& queue);

    // Calls `see` for each segment [from, to) of the band in order; `header` is null where the
    // bytes are no header of this life of the band. One that only a newer program can read is an
    // error.
    using See = std::function<void(std::uint32_t segment, const SegmentHeader* header)>;
    Status headers(BandId band, std::uint64_t sequence, std::uint32_t from, std::uint32_t to,
                   const See& see);

    // The header rebuilt from the other strips; null where that fails.
    const SegmentHeader* rebuilt_header(BandId band, std::uint64_t sequence, std::uint32_t segment);

    // Reads the whole stripe. Afterwards header() and block() give what was proved.
    Proof prove(BandId band, std::uint64_t sequence, std::uint32_t segment);
    SegmentHeader header() { return SegmentHeader(array_.layout, stripe_.data()); }
    const std::byte* block(std::uint32_t slot) const {
        return stripe_.data() + array_.layout.slot_byte(slot);
    }
    // The strips that were wrong or missing at the last prove(). Of a segment that was not proved:
    // those with blocks that the header's checksums show to be wrong, if there is a header.
    const std::vector<Location>& wrong_strips() const { return wrong_strips_; }
    // Whether every strip of the drives that are there could be read then, right or wrong.
    bool all_read() const { return all_read_; }
    // Whether the strip of that role is zeroes alone, in the segment that was proved last: a drive
    // that never got it reads the same from a place that was discarded.
    bool holds_zeroes(std::uint32_t role) const;
    // Those that are missing, or did not answer, when it was `unread`: for messages.
    std::string silent_drives() const;

    // Why it was `unknown`.
    const Error& unknown() const { return *unknown_; }

    // Why rebuilt_header() or read_block() gave nothing: it is damaged, or drives don't answer, or
    // only a newer program can read the segment.
    // `what` it is, "its header"; `harm`: what follows if it is lost.
    Error lost(BandId band, std::uint32_t segment, const char* what, const char* harm) const;
    static Error damaged(BandId band, std::uint32_t segment, const char* what, const char* harm);

    // One block of a committed segment, verified; null where it can't be had.
    const std::byte* read_block(BandId band, std::uint64_t sequence, std::uint32_t segment,
                                std::uint32_t slot, const Entry& entry);

  private:
    static constexpr std::uint32_t kBatch = 64;
    Proof attempt(BandId band, std::uint64_t sequence, std::uint32_t segment);
    std::vector<bool> read_stripe(BandId band, std::uint32_t segment);
    bool enough_answer(BandId band);
    bool mend(BandId band, std::uint64_t sequence, std::uint32_t segment);
    void name_wrong_strips(BandId band, std::uint32_t segment, const std::vector<bool>& wrong);
    bool rebuild_block(const BlockIdentity& id);
    std::optional<Error> unknown_in(const SegmentHeader& header, BandId band,
                                    std::uint64_t sequence, std::uint32_t segment) const;

    const ArrayContext& array_;
    IoQueue& queue_;
    Rebuild rebuild_;
    Buffer batch_;
    Buffer stripe_;  // data strips, P, Q as read
    Buffer parity_;  // P and Q as computed
    Buffer block_;
    std::vector<Io> ios_;
    SegmentHeader rebuilt_;
    std::vector<Location> wrong_strips_;
    std::vector<std::uint32_t> silent_drives_;
    bool all_read_ = false;
    std::optional<Error> unknown_;  // what the last rebuilt_header() met
};

// Polls the queue until `done`.
void wait_until(IoQueue& queue, const std::function<bool()>& done);

}  // namespace qlcshape
