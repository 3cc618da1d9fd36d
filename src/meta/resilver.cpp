// SPDX-License-Identifier: Apache-2.0
#include "meta/resilver.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/buffer.h"
#include "base/canary.h"

namespace qlcshape {

namespace {

constexpr std::uint64_t kAtOnce = 256;  // blocks

class MirrorCopy {
  public:
    MirrorCopy(const ArrayContext& array, const ScmDrive& to, IoQueue& queue,
               const Progress& progress)
        : array_(array),
          to_(to),
          queue_(queue),
          progress_(progress),
          blocks_(kAtOnce * kBlockBytes) {}

    // The same on all drives that are in: from the first that can be read.
    Status region(const Region& region) {
        for (std::uint64_t at = 0; at < region.bytes; at += blocks_.size()) {
            const std::uint64_t bytes = std::min<std::uint64_t>(blocks_.size(), region.bytes - at);
            for (std::uint64_t done = 0; done < bytes; done += kBlockBytes) {
                Io io = io_of(IoKind::read, region.offset + at + done, done);
                bool read = false;
                for (Device* scm : array_.scm_in()) {
                    io.device = scm;
                    if (!read) read = run(queue_, io).has_value();
                }
                if (!read) std::memset(io.data, 0, kBlockBytes);
            }
            Io io = io_of(IoKind::write, region.offset + at, 0);
            io.bytes = bytes;
            QS_TRY(run(queue_, io));
        }
        return {};
    }

    Status table(const TableBitmap& bitmap) {
        const ArrayLayout& l = array_.layout;
        for (std::uint64_t n = 0; n < l.pmt_pages; ++n) {
            if (progress_ && n % (16 * kAtOnce) == 0)
                progress_("copying the table to an scm drive that was out",
                          100.0 * static_cast<double>(n) / static_cast<double>(l.pmt_pages));
            if (!bitmap.written(PageId(n))) continue;
            for (std::uint32_t copy = 0; copy < l.p.pmt_copies; ++copy) {
                if (l.pmt_drive(PageId(n), copy) == to_.index) QS_TRY(add(PageId(n), copy));
            }
        }
        return write_pages();
    }

    Status flush() {
        Io io = io_of(IoKind::flush, 0, 0);
        io.bytes = 0;
        io.data = nullptr;
        io.point = PersistencePoint::table_build_flush;
        return run(queue_, io);
    }

  private:
    Io io_of(IoKind kind, std::uint64_t offset, std::uint64_t at) {
        Io io;
        io.kind = kind;
        io.point =
            kind == IoKind::write ? PersistencePoint::resilver_write : PersistencePoint::none;
        io.device = &to_.device;
        io.offset = offset;
        io.bytes = kBlockBytes;
        io.data = blocks_.data() + at;
        return io;
    }

    Status add(PageId page, std::uint32_t copy) {
        pages_.push_back(page);
        copies_.push_back(copy);
        return pages_.size() == kAtOnce ? write_pages() : Status{};
    }

    Status write_pages() {
        std::vector<Io> reads, writes;
        std::vector<PmtEntry> entries(kPageEntries);
        for (std::size_t i = 0; i < pages_.size(); ++i) {
            std::byte* const block = blocks_.data() + i * kBlockBytes;
            reads.push_back(array_.pmt_io(IoKind::read, pages_[i], other(copies_[i]), block));
            writes.push_back(io_of(IoKind::write,
                                   array_.layout.pmt_page_offset(pages_[i], copies_[i]),
                                   i * kBlockBytes));
        }
        static_cast<void>(run(queue_, reads));
        for (std::size_t i = 0; i < pages_.size(); ++i) {
            std::uint32_t generation = 0;
            const bool good =
                reads[i].error_number == 0 &&
                array_.decode_page(reads[i].data, pages_[i], entries.data(), generation);
            if (!good) std::memset(reads[i].data, 0, kBlockBytes);
        }
        pages_.clear();
        copies_.clear();
        return run(queue_, writes);
    }

    static std::uint32_t other(std::uint32_t copy) { return 1 - copy; }

    const ArrayContext& array_;
    const ScmDrive& to_;
    IoQueue& queue_;
    const Progress& progress_;
    Buffer blocks_;
    std::vector<PageId> pages_;
    std::vector<std::uint32_t> copies_;  // of each page, that the drive has
};

}  // namespace

Status copy_scm_drive(const ArrayContext& array, const TableBitmap& bitmap, const ScmDrive& to,
                      IoQueue& queue, const Progress& progress) {
    MirrorCopy copy(array, to, queue, progress);
    const ScmRegions& regions = array.layout.p.regions;
    for (const Region& region : {regions.band_table, regions.snapshots, regions.bitmap})
        QS_TRY(copy.region(region));
    if (!canary(Canary::resilver_without_table)) QS_TRY(copy.table(bitmap));
    return copy.flush();
}

}  // namespace qlcshape
