// SPDX-License-Identifier: Apache-2.0
#include "segment/rebuild.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/crc32c.h"
#include "placement/failures.h"
#include "raid6/parity.h"

namespace qlcshape {

Rebuild::Rebuild(const ArrayContext& array, IoQueue& queue)
    : array_(array),
      queue_(queue),
      width_(array.layout.width()),
      row_capacity_(array.layout.header_bytes()),
      rows_((width_ + 2) * row_capacity_),
      header_(row_capacity_),
      ios_(width_),
      there_(width_) {}

void Rebuild::block(const BlockIdentity& id, std::function<void(bool)> done) {
    QS_ASSERT(!busy_);
    busy_ = true;
    header_only_ = false;
    id_ = id;
    done_ = std::move(done);
    again_ = drives_away_ = false;
    start();
}

void Rebuild::header_of(BandId band, std::uint64_t sequence, std::uint32_t segment,
                        std::function<void(bool)> done) {
    QS_ASSERT(!busy_);
    busy_ = true;
    header_only_ = true;
    id_ = {band, sequence, segment, 0, Lba(0)};
    done_ = std::move(done);
    again_ = drives_away_ = false;
    start();
}

void Rebuild::start() { read_rows(0, row_capacity_, &Rebuild::solve_header); }

void Rebuild::read_rows(std::uint64_t offset, std::uint64_t bytes, void (Rebuild::*then)()) {
    const std::uint64_t strip_bytes = array_.layout.p.strip_bytes;
    then_ = then;
    bytes_ = bytes;
    pending_ = 0;
    for (std::uint32_t role = 0; role < width_; ++role) {
        Io& io = ios_[role];
        io = array_.segment_io(IoKind::read, id_.band, id_.segment, role * strip_bytes + offset,
                               bytes, row(role));
        there_[role] = io.device != nullptr;
        if (!there_[role]) continue;
        ++pending_;
        io.context = this;
        io.done = [](Io& done) {
            auto& self = *static_cast<Rebuild*>(done.context);
            if (--self.pending_ == 0) self.rows_read();
        };
    }
    for (std::uint32_t role = 0; role < width_; ++role) {
        if (there_[role]) queue_.submit(ios_[role]);
    }
}

void Rebuild::rows_read() {
    leave_kept_rows();
    for (std::uint32_t role = 0; role < width_; ++role) {
        if (there_[role] && ios_[role].error_number != 0) there_[role] = false;
    }
    (this->*then_)();
}

// To drives that may still write to them.
void Rebuild::leave_kept_rows() {
    if (std::ranges::any_of(ios_, &Io::kept)) rows_.renew();
    for (Io& io : ios_) io.kept = false;
}

void Rebuild::solve_header() {
    const bool good = solve(0, [this](const std::byte* bytes) {
        SegmentHeader seen(array_.layout, const_cast<std::byte*>(bytes));
        return seen.intact(array_.array, id_.band, id_.segment) &&
               seen.fixed().band_sequence == id_.sequence;
    });
    if (!good) return finish(false);
    std::memcpy(header_.data(), result_, row_capacity_);
    if (!header().valid(array_.array, id_.band, id_.segment)) return finish(false);
    if (header_only_) return finish(true);
    // Another LBA: the table leads to a wrong place. Poisoned: the block was lost before, and the
    // zeroes in its slot must not be returned as its contents.
    const Entry entry = header().entry(id_.slot);
    const bool hers = entry.kind == EntryKind::tombstones ||
                      (entry.kind == EntryKind::data && entry.lba == id_.lba);
    if (!hers) return finish(false);
    read_rows(array_.layout.slot_byte(id_.slot) % array_.layout.p.strip_bytes, kBlockBytes,
              &Rebuild::solve_block);
}

void Rebuild::solve_block() {
    const ArrayLayout& l = array_.layout;
    const auto role = static_cast<std::uint32_t>(l.slot_byte(id_.slot) / l.p.strip_bytes);
    const std::uint32_t crc = header().entry(id_.slot).crc;
    finish(solve(role, [crc](const std::byte* bytes) {
        return crc32c({bytes, kBlockBytes}) == crc;
    }));
}

// As read; then without that strip; then without that strip and one more. The first attempt is not
// wasted: the header was not read before, and a drive that failed a moment ago may answer now.
bool Rebuild::solve(std::uint32_t role, const Proof& proof) {
    if (there_[role] && proof(row(role))) {
        result_ = row(role);
        return true;
    }
    std::uint32_t missing = 0;
    std::uint32_t other = role;
    for (std::uint32_t r = 0; r < width_; ++r) {
        if (r == role || there_[r]) continue;
        ++missing;
        other = r;
    }
    // Three of a row are more than P and Q replace; with one gone the pair is known.
    if (missing > 1) return false;
    if (missing == 1) return attempt(role, other, proof);
    for (std::uint32_t second = 0; second < width_; ++second) {
        // second == role: that strip alone.
        const std::uint32_t r = second == 0 ? role : second <= role ? second - 1 : second;
        if (attempt(role, r, proof)) return true;
    }
    return false;
}

std::byte* Rebuild::scratch(std::uint32_t which) const {
    return rows_.data() + (width_ + which) * row_capacity_;
}

// Solves into scratch rows: what was read stays for the next attempt, for it may be right.
bool Rebuild::attempt(std::uint32_t role, std::uint32_t second, const Proof& proof) {
    std::byte* strips[kMaxDataStrips + 2];
    for (std::uint32_t r = 0; r < width_; ++r) strips[r] = row(r);
    strips[role] = scratch(0);
    std::uint32_t lost[2] = {role, second};
    if (second != role) strips[second] = scratch(1);
    reconstruct({strips, width_}, bytes_, {lost, second == role ? 1u : 2u});
    if (!proof(scratch(0))) return false;
    result_ = scratch(0);
    return true;
}

void Rebuild::finish(bool good) { good ? end(true) : probe(); }

// Asks those that did not read their part. Their rows are free by now.
void Rebuild::probe() {
    pending_ = 0;
    drives_away_ = false;
    for (std::uint32_t role = 0; role < width_; ++role) {
        Io& io = ios_[role];
        const Location place = array_.locate(id_.band, id_.segment, role);
        if (!place.there() || there_[role]) continue;  // a column that is lost comes back with none
        const bool away = array_.drive_at(place) == nullptr;
        drives_away_ |= away;
        if (away) continue;
        io = array_.probe_io(place.drive, row(role));
        ++pending_;
        io.context = this;
        io.done = [](Io& done) {
            auto& self = *static_cast<Rebuild*>(done.context);
            if (done.error_number != 0) {
                done.device->note_silent(done.error_number);
                self.drives_away_ = true;
            }
            if (--self.pending_ == 0) self.probed();
        };
        queue_.submit(io);
    }
    if (pending_ == 0) end(false);
}

void Rebuild::probed() {
    leave_kept_rows();
    if (again_ || beyond_parity(array_, id_.band)) return end(false);
    again_ = true;
    start();
}

// `done` is moved out first: it may begin the next rebuild, which sets another.
void Rebuild::end(bool good) {
    busy_ = false;
    auto done = std::move(done_);
    done(good);
}

}  // namespace qlcshape
