// SPDX-License-Identifier: Apache-2.0
#include "tools/verify.h"

#include <algorithm>

#include "tools/closed_loop.h"

namespace qlcshape::tools {

namespace {

constexpr std::uint64_t kReadBytes = 256 << 10;
constexpr std::uint32_t kDepth = 16;
constexpr std::size_t kNamed = 5;

class Verify : public Source {
  public:
    Verify(StampTable& table, std::uint64_t units_per_read,
           const std::function<void(double)>& progress)
        : table_(table), units_per_read_(units_per_read), progress_(progress) {}

    Next next(Slot& slot) override {
        if (cursor_ == table_.units()) return Next::end;
        const std::uint64_t count = std::min(units_per_read_, table_.units() - cursor_);
        slot.op = Op::read;
        slot.offset = cursor_ * table_.unit_bytes();
        slot.bytes = count * table_.unit_bytes();
        cursor_ += count;
        return Next::request;
    }

    void finished(Slot& slot) override {
        if (!slot.status) return;
        for (std::uint64_t at = 0; at < slot.bytes; at += table_.unit_bytes()) {
            check_unit({slot.memory + at, table_.unit_bytes()}, slot.offset + at);
        }
    }

    void tick() override {
        if (progress_) {
            progress_(100.0 * static_cast<double>(cursor_) / static_cast<double>(table_.units()));
        }
    }

    VerifyResult result() {
        result_.blocks = (checked_bytes_ + kVolumeBlockBytes - 1) / kVolumeBlockBytes;
        return result_;
    }

  private:
    void check_unit(std::span<const std::byte> bytes, std::uint64_t offset) {
        StampTable::Entry& entry = table_.entry(offset / table_.unit_bytes());
        const Stamp in_flight = entry.in_flight.exchange(StampTable::kNone);
        const Stamp stamp = entry.acknowledged;
        if (!table_.known(stamp)) {
            // Unknown before this run, so with a write in flight nothing can be said of it.
            return;
        }
        checked_bytes_ += bytes.size();
        if (table_.holds(bytes, offset, stamp)) return;
        if (in_flight != StampTable::kNone && table_.holds(bytes, offset, in_flight)) {
            entry.acknowledged = in_flight;
            ++result_.newer;
            return;
        }
        report(bytes, offset, stamp);
    }

    // Counts each block once that has a wrong sector.
    void report(std::span<const std::byte> bytes, std::uint64_t offset, Stamp stamp) {
        std::uint64_t last_block = ~std::uint64_t{0};
        for (std::uint64_t at = 0; at < bytes.size(); at += kSector) {
            const std::uint64_t block = (offset + at) / kVolumeBlockBytes;
            const auto sector = bytes.subspan(at, kSector);
            if (block == last_block || table_.holds(sector, offset + at, stamp)) continue;
            last_block = block;
            ++result_.mismatches;
            if (result_.first.size() < kNamed) {
                result_.first.push_back(table_.describe(sector, offset + at, stamp));
            }
        }
    }

    StampTable& table_;
    std::uint64_t units_per_read_;
    const std::function<void(double)>& progress_;
    std::uint64_t cursor_ = 0;
    std::uint64_t checked_bytes_ = 0;
    VerifyResult result_;
};

}  // namespace

Result<VerifyResult> verify_volume(const Volume& volume, StampTable& table,
                                   const std::function<void(double)>& progress) {
    const std::uint64_t units = std::max<std::uint64_t>(kReadBytes / table.unit_bytes(), 1);
    ClosedLoop loop(volume, kDepth, units * table.unit_bytes());
    Verify verify(table, units, progress);
    const Status status = loop.run(verify);
    if (!status) return std::unexpected(status.error());
    return verify.result();
}

}  // namespace qlcshape::tools
