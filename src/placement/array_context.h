// SPDX-License-Identifier: Apache-2.0
// What every part of an open array needs to know about it: its layout, its identity, its drives,
// and where each strip, band and page of the table lies on them. Constant while the array is open,
// but for the columns of bands, and a drive that is replaced.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <ranges>
#include <vector>

#include "base/uuid.h"
#include "device/device.h"
#include "device/io.h"
#include "format/layout.h"
#include "format/pmt_page.h"
#include "placement/columns.h"
#include "placement/drive_list.h"
#include "placement/geometry.h"

namespace qlcshape {

// A place on a QLC drive.
struct Location {
    static constexpr std::uint32_t kNowhere = UINT32_MAX;
    std::uint32_t drive = kNowhere;  // its number; kNowhere: no drive has the column
    std::uint64_t offset = 0;        // bytes
    bool there() const { return drive != kNowhere; }
};

// Some drives, as the lists had them when they were asked.
class DrivesNow {
  public:
    static constexpr std::size_t kMost = kMaxScm + 1;
    void push_back(Device* drive) { drives_[count_++] = drive; }
    Device* const* begin() const { return drives_.data(); }
    Device* const* end() const { return drives_.data() + count_; }

  private:
    std::array<Device*, kMost> drives_{};
    std::size_t count_ = 0;
};

struct ArrayContext {
    ArrayContext() = default;
    explicit ArrayContext(const ArrayLayout& array_layout)
        : layout(array_layout), columns(std::make_shared<Columns>(layout)) {}

    ArrayLayout layout;
    Uuid array;
    std::uint64_t epoch = 0;
    std::uint64_t epoch_key = 0;
    std::uint32_t shards = 1;
    DriveList qlc;  // by drive number
    DriveList scm;  // by index
    DriveList
        scm_coming;  // by index: it is to be the drive there, gets each write, and is not read
    std::shared_ptr<Columns> columns;

    // The SCM drives that have the present contents.
    auto scm_in() const { return std::views::filter(scm.all(), is_in); }
    bool scm_in(std::size_t index) const { return is_in(scm[index]); }
    std::size_t scm_in_count() const {
        return static_cast<std::size_t>(std::ranges::count_if(scm.all(), is_in));
    }
    // Those that get each write: they, and one that is coming.
    DrivesNow scm_written() const;
    // For messages about what all of them have.
    const Device& an_scm_drive() const { return **scm_in().begin(); }

    // Column `column` of a band: its part of one drive, band_bytes long.
    Location locate_column(BandId band, std::uint32_t column) const;
    // The strip of `role` in a stripe. Nothing else knows on which drive a strip lies.
    Location locate(BandId band, std::uint32_t segment, std::uint32_t role) const;
    // The drive there, null where it is missing or out. It may go out at any time: ask once.
    Device* drive_at(const Location& place) const {
        Device* const drive = place.there() ? qlc[place.drive] : nullptr;
        return is_in(drive) ? drive : nullptr;
    }

    // The QLC drives that take new columns.
    DriveSet drives_in() const;
    // Those of which columns are to move to others.
    DriveSet drives_draining() const;
    // Those that are missing or out, and one that is to come in.
    DriveSet drives_gone() const;
    // One refuses writes, and is not out yet: until then nothing new is written to QLC drives, and
    // what an SCM drive does not take waits.
    bool drive_leaves() const;

    // How many drives that are there have a column of the band; not counting those `without`.
    std::uint32_t columns_there(BandId band, const DriveSet& without = {}) const;

    // It lacks a column, or has one on a drive that drains, and another one has room for it.
    bool is_narrow(BandId band) const;

    // A transfer of a part of a segment that lies in one strip. `at` is a byte of the segment:
    // those of its header and data, then P's, then Q's. The device is null where it is missing.
    Io segment_io(IoKind kind, BandId band, std::uint32_t segment, std::uint64_t at,
                  std::uint64_t bytes, std::byte* data) const;

    // Reads a block that each drive has had since the array was made. One that can't read it does
    // not answer; one that can't read a strip alone has a block or two that are unreadable. The
    // device is null where it is missing.
    Io probe_io(std::uint32_t drive, std::byte* block) const;

    // A transfer of copy `copy` of that page of the PMT; `block` is a block. The device is null
    // where the drive that has this copy is missing or out.
    Io pmt_io(IoKind kind, PageId page, std::uint32_t copy, std::byte* block,
              PersistencePoint point = PersistencePoint::none) const;
    // The drive that is coming there, null where none is. Before pmt_io(): see scm_written().
    Device* coming_at(PageId page, std::uint32_t copy) const;

    // Reads a page of the PMT; false if it is damaged, another page, or has impossible entries.
    // `generation`: the oldest sector's.
    bool decode_page(const std::byte* block, PageId page, PmtEntry* entries,
                     std::uint32_t& generation) const {
        return decode_pmt_page(block, page, array, entries, &generation) &&
               pmt_entries_fit(entries, layout);
    }

    // That of a page before its first write. What an earlier epoch may have left in its place,
    // unfinished, has another one with it: a drive that loses the write is detected.
    std::uint32_t first_generation() const {
        return static_cast<std::uint32_t>(epoch * 0x9e3779b97f4a7c15 >> 32);
    }

    std::uint32_t shard_of(PageId page) const {
        return static_cast<std::uint32_t>(page.value % shards);
    }

  private:
    static bool is_in(const Device* drive) { return drive != nullptr && !drive->out(); }
};

}  // namespace qlcshape
