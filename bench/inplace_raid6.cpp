// SPDX-License-Identifier: Apache-2.0
#include "bench/inplace_raid6.h"

#include <isa-l/erasure_code.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <vector>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/random.h"
#include "base/types.h"
#include "placement/geometry.h"
#include "raid6/parity.h"

namespace qlcshape {

namespace {

constexpr std::uint32_t kParts = 3;  // of an update: data, P, Q
constexpr std::uint64_t kPoolBlocks = 256;
constexpr std::uint64_t kNoRow = UINT64_MAX;

class InplaceRaid6;

// One 4 KiB write on its way: reading, then writing, then waiting for flushes.
struct Update {
    enum class State { unused, reading, writing, flushing };

    State state = State::unused;
    InplaceRaid6* owner = nullptr;
    std::uint32_t index = 0;
    std::uint64_t row = kNoRow;  // which P and Q block: number of the 4 KiB row of the array
    std::uint32_t role = 0;
    std::byte* fresh = nullptr;  // what is written, in the pool
    std::array<std::byte*, kParts> old{};
    std::array<std::uint32_t, kParts> drives{};
    std::array<std::uint64_t, kParts> flush_needed{};
    std::array<Io, kParts> ios;
    std::uint32_t pending = 0;
    Update* next = nullptr;
};

struct Drive {
    Device* device = nullptr;
    InplaceRaid6* owner = nullptr;
    Io flush;
    std::uint64_t wanted = 0;    // number of the flush that somebody waits for
    std::uint64_t started = 0;   // flushes begun
    std::uint64_t finished = 0;  // flushes ended
};

class InplaceRaid6 {
  public:
    InplaceRaid6(std::span<Device* const> qlc, const InplaceLayout& layout, std::uint32_t depth,
                 std::uint64_t seed);
    Result<InplaceResult> run(const InplaceLimits& limits);

  private:
    void aim(Update& update);
    void begin_or_wait(Update& update);
    void transfer(Update& update, IoKind kind);
    void part_done(Update& update, const Io& io);
    void change_parity(Update& update);
    void want_flushes(Update& update);
    void start_flushes();
    void flush_done(Drive& drive);
    void acknowledge_if_flushed(Update& update);
    void retire(Update& update);
    void release_row(Update& update);
    void note_failure(const Io& io);

    const InplaceLayout layout_;
    const std::uint64_t rows_per_strip_;
    const std::uint64_t rows_;
    Random random_;
    Buffer memory_;  // the pool of new data, then three blocks an update
    IoQueue queue_;
    std::vector<Drive> drives_;
    std::vector<Update> updates_;
    std::vector<std::uint64_t> locked_rows_;  // by update; few, so a scan is quicker than a table
    Fifo<Update> unused_;
    Fifo<Update> waiting_;  // for a row that another update has locked
    std::uint32_t active_ = 0;
    std::vector<unsigned char> tables_;
    InplaceResult result_;
    std::optional<Error> failure_;
};

InplaceRaid6::InplaceRaid6(std::span<Device* const> qlc, const InplaceLayout& layout,
                           std::uint32_t depth, std::uint64_t seed)
    : layout_(layout),
      rows_per_strip_(layout.strip_bytes / kBlockBytes),
      rows_(layout.bytes_per_drive / layout.strip_bytes * rows_per_strip_),
      random_(seed),
      memory_((kPoolBlocks + kParts * depth) * kBlockBytes),
      queue_({memory_.span()}),
      drives_(qlc.size()),
      updates_(depth),
      locked_rows_(depth, kNoRow) {
    for (std::size_t i = 0; i < qlc.size(); ++i) {
        drives_[i].device = qlc[i];
        drives_[i].owner = this;
    }
    for (std::uint64_t at = 0; at < kPoolBlocks * kBlockBytes; at += sizeof(std::uint64_t)) {
        const std::uint64_t word = random_.next();
        std::memcpy(memory_.data() + at, &word, sizeof(word));
    }
    for (std::uint32_t i = 0; i < depth; ++i) {
        Update& update = updates_[i];
        update.owner = this;
        update.index = i;
        for (std::uint64_t part = 0; part < kParts; ++part) {
            update.old[part] = memory_.data() + (kPoolBlocks + i * kParts + part) * kBlockBytes;
        }
        unused_.push_back(update);
    }
    const std::uint32_t k = layout.data_strips;
    std::vector<unsigned char> matrix((k + 2) * k);
    gf_gen_rs_matrix(matrix.data(), static_cast<int>(k + 2), static_cast<int>(k));
    tables_.resize(std::size_t{32} * 2 * k);
    ec_init_tables(static_cast<int>(k), 2, matrix.data() + k * k, tables_.data());
}

Result<InplaceResult> InplaceRaid6::run(const InplaceLimits& limits) {
    using Clock = std::chrono::steady_clock;
    constexpr std::uint64_t kLookAgainUs = 100'000;
    const auto start = Clock::now();
    std::uint64_t begun = 0;
    while (true) {
        result_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        while (!unused_.empty() && begun < limits.writes && result_.seconds < limits.seconds &&
               !failure_) {
            Update& update = unused_.pop_front();
            ++active_;
            ++begun;
            aim(update);
            begin_or_wait(update);
        }
        start_flushes();
        if (active_ == 0) break;
        if (queue_.poll() == 0) queue_.wait(kLookAgainUs);
    }
    if (failure_) return fail(*failure_);
    return result_;
}

void InplaceRaid6::aim(Update& update) {
    update.row = random_.below(rows_);
    update.role = static_cast<std::uint32_t>(random_.below(layout_.data_strips));
    update.fresh = memory_.data() + random_.below(kPoolBlocks) * kBlockBytes;
    const std::uint64_t stripe = update.row / rows_per_strip_;
    const std::uint32_t k = layout_.data_strips;
    update.drives = {column_of(stripe, update.role, k + 2), column_of(stripe, k, k + 2),
                     column_of(stripe, k + 1, k + 2)};
}

// Two updates of the same P and Q must not both start from the same old ones.
void InplaceRaid6::begin_or_wait(Update& update) {
    if (std::ranges::find(locked_rows_, update.row) != locked_rows_.end()) {
        waiting_.push_back(update);
        return;
    }
    locked_rows_[update.index] = update.row;
    update.state = Update::State::reading;
    result_.reads_issued += kParts;
    transfer(update, IoKind::read);
}

void InplaceRaid6::transfer(Update& update, IoKind kind) {
    update.pending = kParts;
    for (std::uint32_t part = 0; part < kParts; ++part) {
        const bool new_data = kind == IoKind::write && part == 0;
        update.ios[part] = {.kind = kind,
                            .device = drives_[update.drives[part]].device,
                            .offset = layout_.offset + update.row * kBlockBytes,
                            .bytes = kBlockBytes,
                            .data = new_data ? update.fresh : update.old[part],
                            .done =
                                [](Io& io) {
                                    auto& self = *static_cast<Update*>(io.context);
                                    self.owner->part_done(self, io);
                                },
                            .context = &update};
        queue_.submit(update.ios[part]);
    }
}

void InplaceRaid6::part_done(Update& update, const Io& io) {
    if (io.error_number != 0) note_failure(io);
    if (--update.pending != 0) return;
    if (failure_) {
        release_row(update);
        retire(update);
    } else if (update.state == Update::State::reading) {
        change_parity(update);
        update.state = Update::State::writing;
        result_.writes_issued += kParts;
        transfer(update, IoKind::write);
    } else {
        release_row(update);
        want_flushes(update);
    }
}

// P += change, Q += 2^role * change, where change = old + new data (all in GF(2^8)).
void InplaceRaid6::change_parity(Update& update) {
    auto* change = reinterpret_cast<unsigned char*>(update.old[0]);
    const auto* fresh = reinterpret_cast<const unsigned char*>(update.fresh);
    for (std::uint32_t i = 0; i < kBlockBytes; ++i) {
        change[i] = static_cast<unsigned char>(change[i] ^ fresh[i]);
    }
    unsigned char* parity[] = {reinterpret_cast<unsigned char*>(update.old[1]),
                               reinterpret_cast<unsigned char*>(update.old[2])};
    ec_encode_data_update(kBlockBytes, static_cast<int>(layout_.data_strips), 2,
                          static_cast<int>(update.role), tables_.data(), change, parity);
}

// A flush under way may have begun before our writes ended: the one after it counts.
void InplaceRaid6::want_flushes(Update& update) {
    update.state = Update::State::flushing;
    for (std::uint32_t part = 0; part < kParts; ++part) {
        Drive& drive = drives_[update.drives[part]];
        const bool needed = drive.device->geometry().volatile_cache;
        update.flush_needed[part] = needed ? drive.started + 1 : 0;
        drive.wanted = std::max(drive.wanted, update.flush_needed[part]);
    }
    acknowledge_if_flushed(update);
}

void InplaceRaid6::start_flushes() {
    for (Drive& drive : drives_) {
        if (drive.wanted <= drive.started || drive.started != drive.finished) continue;
        ++drive.started;
        ++result_.flushes_issued;
        drive.flush = {.kind = IoKind::flush,
                       .device = drive.device,
                       .done =
                           [](Io& io) {
                               auto& self = *static_cast<Drive*>(io.context);
                               self.owner->flush_done(self);
                           },
                       .context = &drive};
        queue_.submit(drive.flush);
    }
}

void InplaceRaid6::flush_done(Drive& drive) {
    ++drive.finished;
    if (drive.flush.error_number != 0) note_failure(drive.flush);
    for (Update& update : updates_) {
        if (update.state == Update::State::flushing) acknowledge_if_flushed(update);
    }
}

void InplaceRaid6::acknowledge_if_flushed(Update& update) {
    for (std::uint32_t part = 0; part < kParts; ++part) {
        if (drives_[update.drives[part]].finished < update.flush_needed[part]) return;
    }
    ++result_.writes;
    retire(update);
}

void InplaceRaid6::retire(Update& update) {
    update.state = Update::State::unused;
    --active_;
    unused_.push_back(update);
}

void InplaceRaid6::release_row(Update& update) {
    locked_rows_[update.index] = kNoRow;
    Fifo<Update> blocked = waiting_.take();
    while (!blocked.empty()) {
        Update& other = blocked.pop_front();
        if (failure_) {
            retire(other);
        } else {
            begin_or_wait(other);
        }
    }
}

void InplaceRaid6::note_failure(const Io& io) {
    if (!failure_) failure_ = describe_failure(io);
}

Status check_layout(std::span<Device* const> qlc, const InplaceLayout& layout) {
    const bool fits = layout.data_strips >= kMinDataStrips &&
                      layout.data_strips <= kMaxDataStrips && layout.strip_bytes > 0 &&
                      layout.strip_bytes % kBlockBytes == 0 && layout.offset % kBlockBytes == 0 &&
                      layout.bytes_per_drive >= layout.strip_bytes;
    if (!fits || qlc.size() != layout.data_strips + 2) {
        return fail(Errc::invalid_argument,
                    "in-place RAID6 over {} drives can't have {} data strips of {} bytes in {} "
                    "bytes a drive",
                    qlc.size(), layout.data_strips, layout.strip_bytes, layout.bytes_per_drive);
    }
    for (Device* device : qlc) {
        QS_ASSERT(device->guard() == nullptr);
        if (device->geometry().capacity_bytes < layout.offset + layout.bytes_per_drive) {
            return fail(Errc::invalid_argument, "{}: has {} bytes, where {} are wanted",
                        device->path(), device->geometry().capacity_bytes,
                        layout.offset + layout.bytes_per_drive);
        }
    }
    return {};
}

}  // namespace

Result<InplaceResult> run_inplace_raid6(std::span<Device* const> qlc, const InplaceLayout& layout,
                                        std::uint32_t depth, const InplaceLimits& limits,
                                        std::uint64_t seed) {
    QS_TRY(check_layout(qlc, layout));
    QS_ASSERT(depth > 0);
    InplaceRaid6 raid(qlc, layout, depth, seed);
    return raid.run(limits);
}

Status check_inplace_parity(std::span<Device* const> qlc, const InplaceLayout& layout) {
    QS_TRY(check_layout(qlc, layout));
    const std::uint32_t k = layout.data_strips;
    const Buffer memory((k + 4) * layout.strip_bytes);
    std::vector<std::byte*> strips;
    for (std::uint32_t i = 0; i < k + 4; ++i) {
        strips.push_back(memory.data() + i * layout.strip_bytes);
    }
    std::byte* const read_parity = strips[k];
    std::vector<std::byte*> computed(strips.begin(), strips.begin() + k);
    computed.insert(computed.end(), {strips[k + 2], strips[k + 3]});
    IoQueue queue;
    std::vector<Io> ios(k + 2);
    for (std::uint64_t stripe = 0; stripe < layout.bytes_per_drive / layout.strip_bytes; ++stripe) {
        for (std::uint32_t role = 0; role < k + 2; ++role) {
            ios[role] = {.kind = IoKind::read,
                         .device = qlc[column_of(stripe, role, k + 2)],
                         .offset = layout.offset + stripe * layout.strip_bytes,
                         .bytes = layout.strip_bytes,
                         .data = strips[role]};
        }
        QS_TRY(run(queue, ios));
        compute_parity(computed, layout.strip_bytes);
        if (std::memcmp(read_parity, computed[k], 2 * layout.strip_bytes) != 0) {
            return fail(Errc::damaged, "stripe {}: P or Q doesn't match its data", stripe);
        }
    }
    return {};
}

}  // namespace qlcshape
