// SPDX-License-Identifier: Apache-2.0
#include "upkeep/scrubber.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/canary.h"
#include "base/crc32c.h"
#include "device/remedy.h"

namespace qlcshape {

namespace {

constexpr std::uint64_t kScrubbedBytes = 128 * KiB;

}  // namespace

Scrubber::Scrubber(const ArrayContext& array, BandTable& bands, const SpaceGate& gate,
                   IoQueue& queue, Counters& counters, std::uint64_t position)
    : array_(array),
      bands_(bands),
      gate_(gate),
      queue_(queue),
      counters_(counters),
      rebuild_(array, queue),
      width_(array.layout.width()),
      piece_bytes_(std::min(std::max(kScrubbedBytes, array.layout.header_bytes()),
                            std::uint64_t{array.layout.p.strip_bytes})),
      rows_(width_ * piece_bytes_),
      header_(array.layout.header_bytes()),
      parity_(2 * array.layout.header_bytes()),
      ios_(width_),
      position_(position),
      wrong_blocks_(width_) {}

std::uint64_t Scrubber::memory_bytes() const {
    return rebuild_.memory_bytes() + rows_.size() + header_.size() + parity_.size();
}

void Scrubber::allow(std::uint64_t bytes) {
    const auto more = static_cast<std::int64_t>(bytes);
    std::int64_t now = allowance_.load(std::memory_order_relaxed);
    while (!allowance_.compare_exchange_weak(now, std::min(now + more, more))) {
    }
    if (may_go()) queue_.wake();
}

void Scrubber::go_on_until(std::uint64_t position, bool limited) {
    allowance_.store(0, std::memory_order_relaxed);
    limited_.store(limited, std::memory_order_relaxed);
    if (until_.load() != position) again_from_start_.store(true);  // before it may pass the band
    until_.store(position);
    queue_.wake();
}

bool Scrubber::may_go() const {
    return hurries() || allowance_.load(std::memory_order_relaxed) > 0;
}

bool Scrubber::poll() {
    if (pending_ != 0) return false;
    switch (step_) {
        case Step::idle:
            return begin_segment();
        case Step::reading:
            piece_read();
            return true;
        case Step::header:
            judge_piece();
            return true;
        case Step::probing:
            end_segment();
            return true;
    }
    return false;
}

// A band that is damaged is passed when it has been moved, or can't be; or not now, for want of
// space.
bool Scrubber::begin_segment() {
    if (closing_ || gate_.failed() || !(band_damaged_ || may_go())) return false;
    band_ = BandId(static_cast<std::uint32_t>(position() % array_.layout.bands));
    const BandTable::Life life = bands_.hold(band_);
    if (again_from_start_.exchange(false) && !life.damaged) {
        segment_ = 0;
        band_damaged_ = false;
    }
    const bool other = segment_ != 0 && life.sequence != sequence_;
    if (!life.readable || other || segment_ >= life.segments) {
        if (life.readable) bands_.end_read(band_);
        const bool damaged = std::exchange(band_damaged_, false);
        const bool to_mend =
            !other && (life.damaged || (damaged && bands_.mark_damaged(band_, sequence_, true)));
        const bool waits = to_mend && (!gate_.gc_wanted() || gate_.gc_has_room());
        if (waits) return false;
        pass_band();
        return true;
    }
    sequence_ = life.sequence;
    again_ = false;
    read_segment();
    return true;
}

void Scrubber::pass_band() {
    const ArrayLayout& l = array_.layout;
    if (segment_ == 0 && !asked())
        allowance_.fetch_sub(static_cast<std::int64_t>(l.p.band_bytes * width_));
    segment_ = 0;
    counters_.add(Counter::scrub_bands, 1);
    position_.fetch_add(1, std::memory_order_relaxed);
}

void Scrubber::read_segment() {
    absent_.reset();
    unread_.reset();
    wrong_.reset();
    std::ranges::fill(wrong_blocks_, Wrong{});
    parity_crc_[0] = parity_crc_[1] = crc32c({});
    header_good_ = false;
    offset_ = 0;
    read_piece();
}

void Scrubber::read_piece() {
    const std::uint64_t strip_bytes = array_.layout.p.strip_bytes;
    step_ = Step::reading;
    bytes_ = std::min(piece_bytes_, strip_bytes - offset_);
    pending_ = 0;
    for (std::uint32_t role = 0; role < width_; ++role) {
        Io& io = ios_[role];
        io = array_.segment_io(IoKind::read, band_, segment_, role * strip_bytes + offset_, bytes_,
                               rows_.data() + role * piece_bytes_);
        // One that could read nothing is tried again with each band.
        const bool silent = io.device != nullptr && segment_ != 0 && io.device->silent();
        absent_[role] = absent_[role] || io.device == nullptr || silent;
        if (offset_ == 0) named_[role] = array_.locate(band_, segment_, role).there();
        if (!usable(role)) continue;
        ++pending_;
        io.context = this;
        io.done = [](Io& done) { static_cast<Scrubber*>(done.context)->transfer_ended(done); };
    }
    std::uint64_t read = 0;
    for (std::uint32_t role = 0; role < width_; ++role) {
        if (!usable(role)) continue;
        read += bytes_;
        queue_.submit(ios_[role]);
    }
    counters_.add(Counter::scrub_bytes, read);
    if (!hurries()) allowance_.fetch_sub(static_cast<std::int64_t>(read));
}

void Scrubber::transfer_ended(const Io& io) {
    rows_kept_ |= io.kept;
    // A drive may still write to them.
    if (--pending_ == 0 && std::exchange(rows_kept_, false)) rows_.renew();
    ended_.fetch_add(1, std::memory_order_relaxed);
}

void Scrubber::piece_read() {
    for (std::uint32_t role = 0; role < width_; ++role) {
        if (!usable(role) || ios_[role].error_number == 0) continue;
        const Device& drive = *ios_[role].device;
        const bool no_damage =
            drive.out() || drive.given_up() || refused_by_system(ios_[role].error_number);
        (no_damage ? absent_ : unread_).set(role);
    }
    if (offset_ != 0) return judge_piece();
    std::memcpy(header_.data(), row(0), header_.size());
    header_good_ = usable(0) && header().valid(array_.array, band_, segment_) &&
                   header().fixed().band_sequence == sequence_;
    if (header_good_) return judge_piece();
    if (usable(0)) wrong_.set(0);
    rebuild_header();
}

void Scrubber::rebuild_header() {
    step_ = Step::header;
    pending_ = 1;
    rebuild_.header_of(band_, sequence_, segment_, [this](bool good) {
        pending_ = 0;
        header_good_ = good;
        if (good) std::memcpy(header_.data(), rebuild_.header().bytes().data(), header_.size());
    });
}

// Without a header nothing says what belongs here.
void Scrubber::judge_piece() {
    if (!header_good_) return segment_read();
    for (std::uint32_t role = 0; role < array_.layout.p.data_strips; ++role) {
        if (usable(role)) judge_blocks(role);
    }
    judge_parity();
    offset_ += bytes_;
    if (offset_ < array_.layout.p.strip_bytes)
        read_piece();
    else
        segment_read();
}

void Scrubber::judge_blocks(std::uint32_t role) {
    for (std::uint64_t at = 0; at < bytes_; at += kBlockBytes) {
        if (header().blocks_fit(role, offset_ + at, {row(role) + at, kBlockBytes})) continue;
        if (wrong_blocks_[role].blocks++ == 0) wrong_blocks_[role].first = offset_ + at;
        wrong_.set(role);
    }
}

// Their checksums leave out the part that covers the header: that is computed.
void Scrubber::judge_parity() {
    const ArrayLayout& l = array_.layout;
    const std::uint32_t k = l.p.data_strips;
    const std::uint64_t skipped = offset_ == 0 ? l.header_bytes() : 0;
    const bool last = offset_ + bytes_ == l.p.strip_bytes;
    for (std::uint32_t i = 0; i < 2; ++i) {
        parity_crc_[i] = crc32c_continue(parity_crc_[i], {row(k + i) + skipped, bytes_ - skipped});
        const std::uint32_t crc = i == 0 ? header().fixed().p_crc : header().fixed().q_crc;
        if (last && usable(k + i) && parity_crc_[i] != crc) wrong_.set(k + i);
    }
    if (offset_ == 0) judge_header_rows();
}

// P and Q where they cover the header, which is known by now. What of the data there is missing or
// wrong is solved for, with P or with Q; its checksums tell whether that one is right:
//
//   missing of the data   solved for       then
//   none                  P and Q          both are compared
//   one                   it and Q         if it fits P is right, and Q is compared
//                         it and P         otherwise; if it fits Q is right, and P is compared
//   two                   both             nothing is left to compare
void Scrubber::judge_header_rows() {
    const std::uint32_t k = array_.layout.p.data_strips;
    const std::uint64_t bytes = array_.layout.header_bytes();
    std::byte* strips[kMaxDataStrips + 2];
    std::uint32_t missing = 0, which = 0;
    for (std::uint32_t role = 0; role < width_; ++role) {
        strips[role] = role == 0 ? header_.data() : rows_.data() + role * piece_bytes_;
        const bool there =
            role == 0 || (usable(role) && header().blocks_fit(role, 0, {strips[role], bytes}));
        if (role >= k || there) continue;
        ++missing;
        which = role;
    }
    // Solves for two strips, and compares the second one, which is P or Q.
    const auto solve_and_compare = [&](std::uint32_t first, std::uint32_t second) {
        std::byte* solved[kMaxDataStrips + 2];
        std::ranges::copy(strips, strips + width_, solved);
        solved[first] = parity_.data();
        solved[second] = parity_.data() + bytes;
        const std::uint32_t lost[2] = {first, second};
        reconstruct({solved, width_}, bytes, lost);
        if (first < k && !header().blocks_fit(first, 0, {solved[first], bytes})) return false;
        if (usable(second) && std::memcmp(solved[second], strips[second], bytes) != 0)
            wrong_.set(second);
        return true;
    };
    if (missing == 0) {
        solve_and_compare(k, k + 1);
        solve_and_compare(k + 1, k);
    } else if (missing == 1) {
        const bool by_p = usable(k) && solve_and_compare(which, k + 1);
        if (!by_p && usable(k + 1)) solve_and_compare(which, k);
    }
}

void Scrubber::segment_read() {
    const bool away = !header_good_ && rebuild_.drives_away();
    if (!header_good_ && (wrong_ | unread_).none()) wrong_.set(array_.layout.p.data_strips);
    if (away || closing_ || (wrong_ | unread_).none() || canary(Canary::scrub_sees_nothing)) {
        wrong_.reset();
        unread_.reset();
        return end_segment();
    }
    if (!std::exchange(again_, true)) {
        suspects_ = wrong_ | unread_;
        return read_segment();
    }
    wrong_ &= suspects_;
    unread_ &= suspects_;
    probe();
}

// Of the drives that could not read their part.
void Scrubber::probe() {
    step_ = Step::probing;
    pending_ = 0;
    for (std::uint32_t role = 0; role < width_; ++role) {
        if (!unread_[role]) continue;
        const Location place = array_.locate(band_, segment_, role);
        if (!place.there()) {  // not any more
            unread_.reset(role);
            absent_.set(role);
            continue;
        }
        Io& io = ios_[role];
        io = array_.probe_io(place.drive, rows_.data() + role * piece_bytes_);
        ++pending_;
        io.context = this;
        io.done = [](Io& done) {
            auto& self = *static_cast<Scrubber*>(done.context);
            self.transfer_ended(done);
            if (done.error_number == 0) return;
            done.device->note_silent(done.error_number);
            const auto which = static_cast<std::size_t>(&done - self.ios_.data());
            self.unread_.reset(which);
            self.absent_.set(which);
        };
        queue_.submit(io);
    }
}

void Scrubber::end_segment() {
    for (std::uint32_t role = 0; role < width_; ++role) {
        if (absent_[role] && named_[role]) left_out_.fetch_add(1, std::memory_order_relaxed);
    }
    if ((wrong_ | unread_).any()) {
        count_wrong();
        band_damaged_ = true;
    }
    bands_.end_read(band_);
    step_ = Step::idle;
    ++segment_;
}

void Scrubber::count_wrong() {
    counters_.add(Counter::scrub_strips_wrong, (wrong_ | unread_).count());
    for (std::uint32_t role = 0; role < width_; ++role) {
        const Location place = array_.locate(band_, segment_, role);
        Device* const drive = array_.drive_at(place);
        if (!wrong_[role] || drive == nullptr) continue;
        const std::uint64_t blocks = std::max<std::uint64_t>(1, wrong_blocks_[role].blocks);
        drive->count_mismatch(place.offset + wrong_blocks_[role].first, blocks);
    }
}

}  // namespace qlcshape
