// SPDX-License-Identifier: Apache-2.0
#include "meta/keeper.h"

#include <algorithm>

#include "base/assert.h"
#include "base/canary.h"
#include "meta/membership.h"

namespace qlcshape {

bool NewColumns::drives_stay(const ArrayContext& array) const {
    return std::ranges::all_of(columns(), [&array](const One& one) {
        return array.qlc[one.at.member] == one.drive && one.drive->takes_columns();
    });
}

BandKeeper::BandKeeper(const ArrayContext& array, BandTable& bands, SpaceGate& gate,
                       std::vector<std::uint64_t> generations, IoQueue& queue, Counters& counters)
    : array_(array),
      bands_(bands),
      gate_(gate),
      queue_(queue),
      counters_(counters),
      generations_(std::move(generations)),
      blocks_(std::size_t{kMostPages} * kBlockBytes) {
    ios_.resize(std::max(std::size_t{kMostPages} * DrivesNow::kMost,
                         std::size_t{kErasesPerRound} * (array.layout.width() + 1)));
    opening_.reserve(kStreams);
    erasing_.reserve(kErasesPerRound);
    pages_.reserve(kMostPages);
    refused_by_.reserve(kErasesPerRound);
    erased_on_.reserve(kErasesPerRound);
    freed_.reserve(kErasesPerRound);
    cleared_.reserve(kStreams * array.layout.width());
    erasing_of_.reserve(ios_.size());
    back_named_.reserve(array.layout.drive_slots());
    left_.reserve(kMostLeft);
}

bool BandKeeper::poll() {
    if (pending_ != 0 || failed_) return false;
    switch (step_) {
        case Step::idle:
            if (!gather()) return false;
            clear_slots();
            if (pending_ == 0) begin_round();
            return true;
        case Step::clearing:
            begin_round();
            return true;
        case Step::writing:
            flush();
            return true;
        case Step::flushing:
            for (BandId band : opening_) bands_.opened(band);
            opening_.clear();
            free_bands();
            if (recording_) end_recording(true);
            discard();
            return true;
        case Step::discarding:
            finish();
            return true;
    }
    return false;
}

// From there on no more bands are opened, and erasing continues.
void BandKeeper::begin(Phase phase) { closing_ = phase >= Phase::erasing; }

bool BandKeeper::done_with(Phase phase) { return phase != Phase::erasing || failed() || idle(); }

bool BandKeeper::gather() {
    // Between rounds: nothing is under way on it.
    if (comes_back() && closing_) give_up_bringing_back();
    if (comes_back() && back_refused()) end_bringing_back();
    if (array_.drive_leaves()) return false;
    if (forgets() && !forgetting_ && !closing_) begin_forgetting();
    if (comes_back() && !erases_slots()) begin_bringing_back();
    reuse_slots();
    if (rewrites() && !rewriting_ && !closing_) {
        rewriting_ = true;
        refresh_ = 0;
    }
    for (Stream s : {Stream::gc, Stream::user}) {
        if (closing_ || !bands_.wants_band(s)) continue;
        if (!(s == Stream::user ? gate_.user_may_open() : gate_.gc_may_open())) continue;
        if (!can_open()) continue;
        if (auto band = bands_.begin_open(s, array_.epoch)) {
            // Now: the page that says it is open says where, and nobody uses it before.
            if (array_.columns->choose(*band, array_.drives_in()))
                opening_.push_back(*band);
            else
                bands_.not_opened(*band);
        }
    }
    while (erasing_.size() < kErasesPerRound) {
        auto band = bands_.next_moved();
        if (!band) break;
        erasing_.push_back(*band);
    }
    if (to_record_) {
        recording_ = can_record();
        if (!recording_) end_recording(false);
    }
    if (!opening_.empty() || !erasing_.empty() || !freed_.empty() || refreshing() || comes_back() ||
        recording_)
        return true;
    // Who waits for a drive to leave rests, too.
    if (!gate_.failed() && gate_.standstill() && !array_.drive_leaves()) gate_.fail_for_space();
    return false;
}

bool BandKeeper::can_open() const {
    return bands_.free_bands() != 0 && array_.columns->have_room(array_.drives_in());
}

// A band that is moved meanwhile is erased later than this round, with these columns.
bool BandKeeper::can_record() const {
    const BandRecord record = bands_.record_of(to_record_->band);
    if (record.state != BandState::closed || record.sequence != to_record_->sequence) return false;
    return to_record_->drives_stay(array_);
}

void BandKeeper::end_recording(bool recorded) {
    for (const NewColumns::One& one : to_record_->columns()) {
        if (!recorded) break;
        const Column left = array_.columns->move(to_record_->band, one.column, one.at);
        if (left.there() && left_.size() < kMostLeft) left_.push_back({to_record_->band, left});
    }
    to_record_.reset();
    recording_ = false;
    recorded_ = recorded;
}

// Whoever looked for the band's columns before they moved counts as its reader, or moves it.
void BandKeeper::reuse_slots() {
    std::erase_if(left_, [this](const Left& left) {
        const BandTable::Life life = bands_.hold(left.band);
        if (life.readable) bands_.end_read(left.band);
        if (life.moving || bands_.has_readers(left.band)) return false;
        array_.columns->reuse(left.at);
        return true;
    });
}

void BandKeeper::forgive(std::uint32_t drive) {
    array_.columns->forgive(drive);
    std::erase_if(left_, [drive](const Left& left) { return left.at.member == drive; });
}

// By the one thread that gives bands their columns. Bands that are being erased keep theirs: they
// may have too few without, and are erased on the drive that comes, where nothing is.
void BandKeeper::begin_forgetting() {
    const std::uint32_t drive = to_forget_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < array_.layout.bands; ++i) {
        const bool counts = bands_.record_of(BandId(i)).counts();
        if (counts && !canary(Canary::replaced_is_named)) array_.columns->drop(BandId(i), drive);
    }
    forgive(drive);
    forgetting_ = true;
    refresh_ = 0;
}

// No band is being erased now. Those that are freed from here on are erased on that drive, too, and
// none gets a column there.
void BandKeeper::begin_bringing_back() {
    const std::uint32_t drive = back_.load(std::memory_order_acquire);
    back_drive_ = array_.qlc[drive];
    forgive(drive);
    back_named_.assign(array_.layout.drive_slots(), false);
    const auto has_columns = [&](BandId band) { return bands_.record_of(band).has_columns(); };
    find_named_slots(array_, drive, has_columns, back_named_);
}

// As many as the round has room for.
void BandKeeper::discard_slots() {
    const ArrayLayout& l = array_.layout;
    std::uint32_t slot = back_slot();
    for (; slot < l.drive_slots() && used_ios_ < ios_.size(); ++slot) {
        if (back_named_[slot] || canary(Canary::returned_not_erased)) continue;
        erasing_of_.push_back(kOfSlot);
        next_io(IoKind::discard, back_drive_, l.slot_offset(slot), l.p.band_bytes, nullptr);
    }
    back_slot_.store(slot, std::memory_order_relaxed);
}

void BandKeeper::end_bringing_back() {
    back_named_.clear();
    back_.store(kNoDrive, std::memory_order_release);
}

// What is not known to be empty, of bands that are to be opened.
void BandKeeper::clear_slots() {
    used_ios_ = 0;
    cleared_.clear();
    for (const BandId band : opening_) {
        for (std::uint32_t c = 0; c < array_.layout.width(); ++c) {
            const Column at = array_.columns->of(band, c);
            Device* const drive = array_.drive_at(array_.locate_column(band, c));
            if (drive == nullptr || array_.columns->is_erased(at)) continue;
            if (canary(Canary::freed_with_remains)) continue;
            cleared_.push_back({band, at, true});
            next_io(IoKind::discard, drive, array_.layout.slot_offset(at.slot),
                    array_.layout.p.band_bytes, nullptr);
        }
    }
    step_ = Step::clearing;
    submit_round();
}

void BandKeeper::begin_round() {
    slots_cleared();
    if (failed_) return;
    write_pages();
    if (pages_.empty() && opening_.empty()) discard();
}

// A slot that can't be erased is not used before the next opening of the array. Where that leaves
// too few, drives fail: it is tried again, until it is decided who leaves. A band that has no other
// slots is not used as a whole.
void BandKeeper::slots_cleared() {
    Columns& columns = *array_.columns;
    bool again = false, out = false;
    std::erase_if(opening_, [&](BandId band) {
        DriveSet refused;
        for (const Cleared& c : cleared_) {
            if (c.band != band) continue;
            if (c.erased)
                columns.set_erased(c.at);
            else
                refused.set(c.at.member);
        }
        if (refused.none()) return false;
        if (columns.own_slots()) {
            bands_.not_emptied(band);
            out |= (refused & ~array_.drives_in()).any();
            return true;
        }
        if (columns.do_without(band, refused)) return false;
        columns.release(band, {});
        bands_.not_opened(band);
        again = true;
        return true;
    });
    cleared_.clear();
    if (out) bands_.erase_again();  // just now, so nobody else asks for it
    tries_ = again ? tries_ + 1 : 0;
    if (tries_ == kTries) fail();
}

void BandKeeper::fail() {
    failed_ = true;
    gate_.fail(queue_);
}

void BandKeeper::write_pages() {
    pages_.clear();
    for (const auto* list : {&opening_, &erasing_}) {
        if (canary(Canary::band_used_before_record) && list == &opening_) continue;
        if (canary(Canary::band_erased_before_record) && list == &erasing_) continue;
        for (BandId band : *list) pages_.push_back(band.value / array_.layout.bands_per_page());
    }
    if (recording_) pages_.push_back(to_record_->band.value / array_.layout.bands_per_page());
    for (const Freed& f : freed_) pages_.push_back(f.band.value / array_.layout.bands_per_page());
    while (refreshing() && pages_.size() < kErasesPerRound) pages_.push_back(refresh_++);
    std::sort(pages_.begin(), pages_.end());
    pages_.erase(std::unique(pages_.begin(), pages_.end()), pages_.end());
    QS_ASSERT(pages_.size() <= kMostPages);
    used_ios_ = 0;
    for (std::size_t i = 0; i < pages_.size(); ++i) {
        const std::uint64_t page = pages_[i];
        const std::uint64_t generation = ++generations_[page];
        std::byte* block = blocks_.data() + i * kBlockBytes;
        encode_band_page(
            array_, bands_, page, generation, block, recording_ ? &*to_record_ : nullptr,
            [this](BandId band) { return std::ranges::count(freed_, band, &Freed::band) != 0; });
        const std::uint64_t offset = array_.layout.band_page_offset(page, generation & 1);
        for (Device* scm : array_.scm_written())
            next_io(IoKind::write, scm, offset, kBlockBytes, block);
    }
    counters_.add(Counter::band_table_written_bytes, pages_.size() * kBlockBytes);
    step_ = Step::writing;
    submit_round();
}

void BandKeeper::flush() {
    used_ios_ = 0;
    for (Device* scm : array_.scm_written()) {
        if (scm->geometry().volatile_cache) next_io(IoKind::flush, scm, 0, 0, nullptr);
    }
    step_ = Step::flushing;
    submit_round();
}

void BandKeeper::discard() {
    used_ios_ = 0;
    refused_by_.assign(erasing_.size(), nullptr);
    erased_on_.assign(erasing_.size(), {});
    erasing_of_.clear();
    for (std::size_t i = 0; i < erasing_.size(); ++i) discard_of(i);
    if (erases_slots() && !back_refused()) discard_slots();
    step_ = Step::discarding;
    submit_round();
}

// The columns of one of those that are erased. A drive that is missing discards what no band has
// any more when it is back.
void BandKeeper::discard_of(std::size_t erasing) {
    const ArrayLayout& l = array_.layout;
    const BandId band = erasing_[erasing];
    const auto discard = [&](Device* drive, std::uint64_t offset) {
        erasing_of_.push_back(erasing);
        next_io(IoKind::discard, drive, offset, l.p.band_bytes, nullptr);
    };
    for (std::uint32_t column = 0; column < l.width(); ++column) {
        const Location place = array_.locate_column(band, column);
        if (Device* const drive = array_.drive_at(place)) {
            erased_on_[erasing].set(place.drive);
            discard(drive, place.offset);
        }
    }
}

void BandKeeper::free_bands() {
    for (const Freed& f : freed_) {
        array_.columns->release(f.band, f.erased);
        bands_.erased(f.band);
    }
    freed_.clear();
}

// A band whose discard failed stays out of use until the drive has gone out, or the next opening
// tries again.
void BandKeeper::finish() {
    for (std::size_t i = 0; i < erasing_.size(); ++i) {
        const Device* const by = refused_by_[i];
        if (by == nullptr) {
            freed_.push_back({erasing_[i], erased_on_[i]});
            continue;
        }
        bands_.not_erased(erasing_[i]);
        if (by->out()) bands_.erase_again();  // just now, so nobody else asks for it
    }
    erasing_.clear();
    if (array_.columns->own_slots()) free_bands();
    if (erases_slots() && back_slot() == array_.layout.drive_slots()) end_bringing_back();
    step_ = Step::idle;
    if (refresh_ < generations_.size()) return;
    if (rewriting_) {
        rewriting_ = passes_.fetch_sub(1, std::memory_order_acq_rel) > 1;
        if (rewriting_) refresh_ = 0;
    }
    if (!forgetting_) return;
    forgetting_ = false;
    to_forget_.store(kNoDrive, std::memory_order_release);
}

Io& BandKeeper::next_io(IoKind kind, Device* device, std::uint64_t offset, std::uint64_t bytes,
                        std::byte* data) {
    QS_ASSERT(used_ios_ < ios_.size());
    Io& io = ios_[used_ios_++];
    io = Io{};
    io.kind = kind;
    io.point = kind == IoKind::write   ? PersistencePoint::keeper_write
               : kind == IoKind::flush ? PersistencePoint::keeper_flush
                                       : PersistencePoint::keeper_discard;
    io.device = device;
    io.offset = offset;
    io.bytes = bytes;
    io.data = data;
    io.context = this;
    io.done = [](Io& done) { static_cast<BandKeeper*>(done.context)->io_done(done); };
    return io;
}

void BandKeeper::submit_round() {
    pending_ = used_ios_;
    for (std::size_t i = 0; i < used_ios_; ++i) queue_.submit(ios_[i]);
}

void BandKeeper::io_done(const Io& io) {
    --pending_;
    if (io.error_number == 0) return;
    counters_.add(Counter::io_errors, 1);
    if (step_ == Step::clearing) {
        cleared_[static_cast<std::size_t>(&io - ios_.data())].erased = false;
    } else if (io.kind == IoKind::discard) {
        const std::size_t of = erasing_of_[static_cast<std::size_t>(&io - ios_.data())];
        if (of == kOfSlot)
            give_up_bringing_back();
        else
            refused_by_[of] = io.device;
    } else {
        fail();
    }
}

void encode_band_page(const ArrayContext& array, const BandTable& bands, std::uint64_t page,
                      std::uint64_t generation, std::byte* block, const NewColumns* with,
                      const std::function<bool(BandId)>& freed) {
    std::fill(block, block + kBlockBytes, std::byte{0});
    const ArrayLayout& l = array.layout;
    BandPage view(l, block);
    for (std::uint32_t i = 0; i < l.bands_per_page(); ++i) {
        const std::uint64_t number = page * l.bands_per_page() + i;
        if (number >= l.bands) break;
        const BandId band(static_cast<std::uint32_t>(number));
        BandRecord& r = view.record(i) = bands.media_record_of(band);
        if (freed && freed(band)) r.state = BandState::free;
        if (!r.has_columns()) continue;
        r.data_columns = static_cast<std::uint8_t>(l.p.data_strips);
        r.rotation = static_cast<std::uint8_t>(array.columns->rotation(band));
        for (std::uint32_t c = 0; c < l.width(); ++c) {
            view.set_column(i, c, array.columns->of(band, c));
        }
        if (with == nullptr || with->band != band) continue;
        for (const NewColumns::One& one : with->columns()) view.set_column(i, one.column, one.at);
    }
    view.seal(array.array, page, generation);
}

Status write_band_table(const ArrayContext& array, const BandTable& bands,
                        std::vector<std::uint64_t>& generations, IoQueue& queue) {
    Buffer block(kBlockBytes);
    for (std::uint64_t page = 0; page < array.layout.band_table_pages; ++page) {
        const std::uint64_t generation = generations[page] + 1;
        encode_band_page(array, bands, page, generation, block.data());
        std::vector<Io> ios;
        for (Device* scm : array.scm_in()) {
            Io& io = ios.emplace_back();
            io.kind = IoKind::write;
            io.point = PersistencePoint::band_table_write;
            io.device = scm;
            io.offset = array.layout.band_page_offset(page, generation & 1);
            io.bytes = kBlockBytes;
            io.data = block.data();
        }
        QS_TRY(run(queue, ios));
        generations[page] = generation;
    }
    return {};
}

}  // namespace qlcshape
