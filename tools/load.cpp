// SPDX-License-Identifier: Apache-2.0
#include "tools/load.h"

#include <fmt/format.h>

#include <csignal>
#include <cstring>
#include <ctime>

#include "base/assert.h"
#include "tools/units.h"

namespace qlcshape::tools {

std::atomic<bool> stop_requested = false;

namespace {

// The first requests a clean end; another one, a second or more later, kills. (timeout(1)
// sends each signal twice, at once.)
void on_signal(int number) {
    static volatile std::sig_atomic_t asked = 0;
    static ::timespec first{};
    ::timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (asked == 0) {
        asked = 1;
        first = now;
    } else if (now.tv_sec - first.tv_sec > 1) {
        ::signal(number, SIG_DFL);
        ::raise(number);
    }
    stop_requested = true;
}

}  // namespace

void stop_on_signals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
}

std::string LoadProgress::text() const {
    return fmt::format("{}, {}/s", rate_text(requests_per_second), size_text(bytes_per_second));
}

namespace {

constexpr int kTriesForIdleUnit = 64;

double seconds_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

class Load : public Source {
  public:
    Load(const Volume& volume, const LoadOptions& options, StampTable* table)
        : options_(options),
          table_(table),
          units_(volume.size_bytes() / options.unit_bytes),
          random_(options.seed) {
        QS_ASSERT(table == nullptr || table->unit_bytes() == options.unit_bytes);
        if (options.zipf > 0) zipf_.emplace(units_, options.zipf);
    }

    Next next(Slot& slot) override;
    void acknowledged(Slot& slot) override;
    void finished(Slot& slot) override;
    void tick() override;

    LoadResult result();

  private:
    Op choose_op();
    std::optional<std::uint64_t> choose_unit(std::uint64_t count);
    bool all_idle(std::uint64_t unit, std::uint64_t count) const;
    bool over() const;
    void prepare(Slot& slot);
    void make_up_contents(Slot& slot);
    void check_read(const Slot& slot);

    template <class F>
    void each_unit(const Slot& slot, F f) {
        const std::uint64_t first = slot.offset / options_.unit_bytes;
        for (std::uint64_t i = 0; i * options_.unit_bytes < slot.bytes; ++i) f(first + i, i);
    }
    std::span<std::byte> part(const Slot& slot, std::uint64_t i) const {
        return {slot.memory + i * options_.unit_bytes, options_.unit_bytes};
    }

    const LoadOptions& options_;
    StampTable* table_;
    std::uint64_t units_;
    Random random_;
    std::optional<Zipf> zipf_;
    std::uint64_t cursor_ = 0;
    std::uint64_t asked_bytes_ = 0;
    std::uint64_t done_bytes_ = 0;
    std::uint64_t done_requests_ = 0;
    const Clock::time_point start_ = Clock::now();
    Clock::time_point last_completed_ = start_;
    Histogram read_latency_, write_latency_;
    LoadResult result_;
};

bool Load::over() const {
    if (stop_requested) return true;
    if (options_.total_bytes != 0 && asked_bytes_ >= options_.total_bytes) return true;
    return options_.seconds > 0 && seconds_between(start_, last_completed_) >= options_.seconds;
}

Source::Next Load::next(Slot& slot) {
    if (over()) return Next::end;
    std::uint64_t count = 1;
    if (!options_.random) count = std::min(options_.units_per_request, units_ - cursor_);
    const std::optional<std::uint64_t> unit = choose_unit(count);
    if (!unit) return Next::wait;
    slot.op = choose_op();
    slot.offset = *unit * options_.unit_bytes;
    slot.bytes = count * options_.unit_bytes;
    asked_bytes_ += slot.bytes;
    prepare(slot);
    return Next::request;
}

Op Load::choose_op() {
    const bool reads = options_.write_percent < 100 && !random_.chance(options_.write_percent, 100);
    if (reads) return Op::read;
    return options_.trim ? Op::trim : Op::write;
}

// Nothing while all that could be chosen are busy: with a table, one request a unit.
std::optional<std::uint64_t> Load::choose_unit(std::uint64_t count) {
    if (!options_.random) {
        if (!all_idle(cursor_, count)) return {};
        const std::uint64_t unit = cursor_;
        cursor_ = (cursor_ + count) % units_;
        return unit;
    }
    for (int i = 0; i < kTriesForIdleUnit; ++i) {
        const std::uint64_t unit = zipf_ ? zipf_->next(random_) : random_.below(units_);
        if (all_idle(unit, 1)) return unit;
    }
    return {};
}

bool Load::all_idle(std::uint64_t unit, std::uint64_t count) const {
    if (table_ == nullptr) return true;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (table_->busy(unit + i)) return false;
    }
    return true;
}

void Load::prepare(Slot& slot) {
    if (table_ == nullptr) {
        if (slot.op == Op::write) make_up_contents(slot);
        return;
    }
    each_unit(slot, [&](std::uint64_t unit, std::uint64_t i) {
        switch (slot.op) {
            case Op::read:
                table_->begin_read(unit);
                break;
            case Op::trim:
                table_->begin_trim(unit);
                break;
            default:
                fill_content(part(slot, i), unit * options_.unit_bytes, table_->run_key(),
                             table_->begin_write(unit));
        }
    });
}

// Contents that nobody checks: random once, and then a word of each block that changes.
void Load::make_up_contents(Slot& slot) {
    std::uint64_t word;
    std::memcpy(&word, slot.memory + 8, sizeof word);
    for (std::uint64_t at = 8; word == 0 && at < slot.bytes; at += sizeof word) {
        const std::uint64_t next = random_.next() | 1;
        std::memcpy(slot.memory + at, &next, sizeof next);
    }
    for (std::uint64_t at = 0; at < slot.bytes; at += kBlockBytes) {
        const std::uint64_t tag = asked_bytes_ + at;
        std::memcpy(slot.memory + at, &tag, sizeof tag);
    }
}

void Load::acknowledged(Slot& slot) {
    if (table_ == nullptr || slot.op == Op::read) return;
    each_unit(slot, [&](std::uint64_t unit, std::uint64_t) {
        table_->acknowledge(unit, table_->entry(unit).in_flight);
    });
}

void Load::finished(Slot& slot) {
    if (!slot.status) {
        // A write that failed may be there or not, as one that a kill ended.
        if (table_ != nullptr && slot.op == Op::read)
            each_unit(slot, [&](auto unit, auto) { table_->cancel(unit); });
        return;
    }
    last_completed_ = std::max(last_completed_, slot.completed);
    const auto ns = std::chrono::nanoseconds(slot.completed - slot.submitted).count();
    (slot.op == Op::read ? read_latency_ : write_latency_).add(static_cast<std::uint64_t>(ns));
    ++done_requests_;
    done_bytes_ += slot.bytes;
    switch (slot.op) {
        case Op::read:
            ++result_.reads;
            result_.read_bytes += slot.bytes;
            if (table_ != nullptr) check_read(slot);
            break;
        case Op::trim:
            ++result_.trims;
            result_.trimmed_bytes += slot.bytes;
            break;
        default:
            ++result_.writes;
            result_.written_bytes += slot.bytes;
    }
}

void Load::check_read(const Slot& slot) {
    each_unit(slot, [&](std::uint64_t unit, std::uint64_t i) {
        const Stamp stamp = table_->entry(unit).acknowledged;
        table_->cancel(unit);
        const std::uint64_t offset = unit * options_.unit_bytes;
        if (table_->holds(part(slot, i), offset, stamp)) return;
        ++result_.mismatches;
        if (result_.first_mismatch.empty()) {
            result_.first_mismatch = table_->describe(part(slot, i), offset, stamp);
        }
    });
}

void Load::tick() {
    if (!options_.progress) return;
    const double seconds = seconds_between(start_, Clock::now());
    double share = 0;
    if (options_.total_bytes != 0) share = ratio(done_bytes_, options_.total_bytes);
    if (options_.seconds > 0) share = std::max(share, seconds / options_.seconds);
    options_.progress({share * 100, static_cast<double>(done_requests_) / seconds,
                       static_cast<double>(done_bytes_) / seconds});
}

LoadResult Load::result() {
    result_.seconds = std::max(seconds_between(start_, last_completed_), 1e-9);
    result_.read = read_latency_.summary();
    result_.write = write_latency_.summary();
    return result_;
}

}  // namespace

Result<LoadResult> run_load(const Volume& volume, const LoadOptions& options, StampTable* table) {
    if (options.unit_bytes == 0 || options.unit_bytes % kSector != 0 ||
        options.unit_bytes > volume.size_bytes()) {
        return std::unexpected(Error{
            Errc::invalid_argument,
            fmt::format(
                "a block size of {} bytes on a volume of {}: it must be a multiple of 512, no "
                "larger than the volume",
                options.unit_bytes, size_text(volume.size_bytes()))});
    }
    ClosedLoop loop(volume, options.depth, options.unit_bytes * options.units_per_request);
    Load load(volume, options, table);
    const Status status = loop.run(load);
    if (!status) return std::unexpected(status.error());
    return load.result();
}

}  // namespace qlcshape::tools
