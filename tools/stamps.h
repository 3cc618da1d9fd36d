// SPDX-License-Identifier: Apache-2.0
// What a volume must hold, as a load's writes were acknowledged: one entry for each unit of
// `unit_bytes`. Written by the engine's threads as they acknowledge, read by the submitting thread;
// at most one request is in flight to a unit. The memory is shared with child processes and
// outlives their death, which is how a kill is checked.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "qlcshape/error.h"
#include "tools/content.h"

namespace qlcshape::tools {

class StampTable {
  public:
    struct Entry {
        std::atomic<Stamp> acknowledged;
        std::atomic<Stamp> in_flight;  // kNone, or what a request in flight will leave
    };
    static constexpr Stamp kNone = 0;

    // `fresh`: the volume is new, so what was never written reads as zeroes.
    StampTable(std::uint64_t volume_bytes, std::uint64_t unit_bytes, std::uint64_t run_key,
               bool fresh);
    // The same in a file. One that is there must be of a volume and units of these sizes, and is
    // continued, with its run key: `resumed` is then true.
    static Result<std::unique_ptr<StampTable>> on_file(const std::string& path,
                                                       std::uint64_t volume_bytes,
                                                       std::uint64_t unit_bytes,
                                                       std::uint64_t run_key);
    ~StampTable();
    StampTable(const StampTable&) = delete;
    StampTable& operator=(const StampTable&) = delete;

    bool resumed() const { return resumed_; }
    std::uint64_t units() const { return head_->units; }
    std::uint64_t unit_bytes() const { return head_->unit_bytes; }
    std::uint64_t run_key() const { return head_->run_key; }
    Entry& entry(std::uint64_t unit) { return entries_[unit]; }

    bool busy(std::uint64_t unit) const { return entries_[unit].in_flight != kNone; }

    // A write, trim or read begins: what the unit holds once it is done.
    Stamp begin_write(std::uint64_t unit) { return begin(unit, 0); }
    Stamp begin_trim(std::uint64_t unit) { return begin(unit, kZeroesStamp); }
    Stamp begin_read(std::uint64_t unit);
    // It is acknowledged, or was not taken.
    void acknowledge(std::uint64_t unit, Stamp stamp);
    void cancel(std::uint64_t unit) { entries_[unit].in_flight = kNone; }

    // Is there an expectation of a unit with this stamp, and do the bytes (a part of the unit,
    // whole sectors, at `offset` in the volume) meet it?
    bool known(Stamp stamp) const { return stamp != kNone || head_->fresh != 0; }
    bool holds(std::span<const std::byte> bytes, std::uint64_t offset, Stamp stamp) const;

    // The first wrong sector of bytes that don't, in words.
    std::string describe(std::span<const std::byte> bytes, std::uint64_t offset, Stamp stamp) const;

  private:
    Stamp begin(std::uint64_t unit, Stamp flag);
    // The stamp as fill_content() understands it.
    Stamp content(Stamp stamp) const {
        return stamp == kNone && known(stamp) ? kZeroesStamp : stamp;
    }

    struct alignas(4096) Head {
        std::uint64_t magic;  // 0 until it is written
        std::uint64_t run_key;
        std::uint64_t units;
        std::uint64_t unit_bytes;
        std::uint64_t fresh;
    };
    StampTable(int fd, const Head& head);
    static Result<std::unique_ptr<StampTable>> in_new_file(const std::string& path,
                                                           const Head& head);
    static Status check_file(int fd, const std::string& path, std::uint64_t units,
                             std::uint64_t unit_bytes);

    std::size_t map_bytes_;
    bool resumed_ = false;
    Head* head_;      // what is mapped
    Entry* entries_;  // after it
};

}  // namespace qlcshape::tools
