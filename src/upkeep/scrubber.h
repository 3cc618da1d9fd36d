// SPDX-License-Identifier: Apache-2.0
// Reads what nobody reads: each strip of each closed band, data, P and Q, and compares it with the
// checksums in the segment's header. A band in which something is not what was written is marked as
// damaged; a collector then moves what is valid in it, as it does for space, and rebuilds what it
// can't read. So nothing is overwritten in place, and nothing is decided by majority.
//
//   idle -> reading -> reading ... -> idle      a piece of all strips of one segment at a time
//              |  ^       | something wrong
//              v  |       v
//            header     reading, all of it once more, since the drive may have erred for a moment
//                         | can't be read
//                         v
//                       probing                 a drive that reads nothing else either is no damage
//
// Only a strip that is wrong both times counts. Strips of drives that are missing, out, or can't be
// read at all are left out.
//
// Where it is: `position`, the bands that it has passed in the array's life, a counter that
// snapshots and superblocks keep. It passes a band only when nothing in it is damaged any more, or
// can't be mended; so an opening that was cut off finds the damage again.
//
// How fast: it begins a segment while it has an allowance (allow(), by ScrubPace), or a pass that
// was asked for goes on to `until`, or something in the band was found to be damaged: then it reads
// the rest of the band at once, so that all of it is counted before the band is moved. One segment
// at a time, so users' reads share the drives with one transfer on each at most.
//
// An actor of the first GC thread. It holds a band only while it reads a segment of it.
#pragma once

#include <atomic>
#include <bitset>
#include <cstdint>
#include <vector>

#include "band/band_table.h"
#include "band/space_gate.h"
#include "base/actor.h"
#include "base/counters.h"
#include "raid6/parity.h"
#include "segment/rebuild.h"

namespace qlcshape {

class Scrubber final : public Actor {
  public:
    // `position`: as the array's counters have it.
    Scrubber(const ArrayContext& array, BandTable& bands, const SpaceGate& gate, IoQueue& queue,
             Counters& counters, std::uint64_t position);

    bool poll() override;
    bool busy() const override { return step_ != Step::idle; }
    void begin(Phase) override { closing_ = true; }
    bool done_with(Phase) override { return step_ == Step::idle; }
    bool failed() const override { return false; }

    // --- any thread ---
    // May read so many bytes more, but does not save them up. Bands that are passed unread are
    // charged, so that a pass takes its time however full the array is.
    void allow(std::uint64_t bytes);
    // Up to this position bands that are passed unread are not charged, and no allowance is needed
    // if not `limited`. One that is passed already ends that. A new position: the band where it is
    // is read from its beginning.
    void go_on_until(std::uint64_t position, bool limited);
    std::uint64_t position() const { return position_.load(std::memory_order_relaxed); }
    std::uint64_t bytes_read() const { return counters_.get(Counter::scrub_bytes); }
    std::uint64_t strips_wrong() const { return counters_.get(Counter::scrub_strips_wrong); }
    // Since the array was opened: strips that it did not read, of drives that are missing, out, or
    // can't be read; and transfers of its own that have ended.
    std::uint64_t strips_left_out() const { return left_out_.load(std::memory_order_relaxed); }
    std::uint64_t transfers_ended() const { return ended_.load(std::memory_order_relaxed); }
    std::uint64_t memory_bytes() const;

  private:
    enum class Step : std::uint8_t { idle, reading, header, probing };
    using Roles = std::bitset<kMaxDataStrips + 2>;

    bool hurries() const { return asked() && !limited_.load(std::memory_order_relaxed); }
    bool asked() const { return position() < until_.load(std::memory_order_relaxed); }
    bool may_go() const;
    bool begin_segment();
    void pass_band();
    void read_segment();
    void read_piece();
    void piece_read();
    void rebuild_header();
    void judge_piece();
    void judge_blocks(std::uint32_t role);
    void judge_parity();
    void judge_header_rows();
    void transfer_ended(const Io& io);
    void segment_read();
    void probe();
    void end_segment();
    void count_wrong();

    const std::byte* row(std::uint32_t role) const { return rows_.data() + role * piece_bytes_; }
    SegmentHeader header() const { return SegmentHeader(array_.layout, header_.data()); }
    bool usable(std::uint32_t role) const { return !absent_[role] && !unread_[role]; }

    const ArrayContext& array_;
    BandTable& bands_;
    const SpaceGate& gate_;
    IoQueue& queue_;
    Counters& counters_;
    Rebuild rebuild_;
    const std::uint32_t width_;
    const std::uint64_t piece_bytes_;  // of a strip, at most
    Buffer rows_;                      // by role: a piece of its strip
    Buffer header_, parity_;
    std::vector<Io> ios_;
    std::atomic<std::uint64_t> position_;
    std::atomic<std::uint64_t> until_{0};
    std::atomic<bool> limited_{false}, again_from_start_{false};
    std::atomic<std::int64_t> allowance_{0};
    std::atomic<std::uint64_t> left_out_{0}, ended_{0};

    // The segment that is being read.
    Step step_ = Step::idle;
    BandId band_;
    std::uint64_t sequence_ = 0;
    std::uint32_t segment_ = 0;  // also between two segments of a band: the next one
    std::uint64_t offset_ = 0;   // in each strip
    std::uint64_t bytes_ = 0;    // of this piece
    bool again_ = false;         // for the second time
    bool band_damaged_ = false;  // something before it in the band is
    bool header_good_ = false;
    std::uint32_t pending_ = 0;
    bool rows_kept_ = false;         // some of them, by a drive
    Roles named_;                    // the band has a column, when its segment was begun
    Roles absent_, unread_, wrong_;  // has no drive; can't be read; is not what was written
    Roles suspects_;                 // the first time
    std::uint32_t parity_crc_[2] = {};
    struct Wrong {
        std::uint64_t first = 0, blocks = 0;  // in the strip: byte, count
    };
    std::vector<Wrong> wrong_blocks_;  // by role
    bool closing_ = false;
};

}  // namespace qlcshape
