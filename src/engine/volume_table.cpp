// SPDX-License-Identifier: Apache-2.0
#include "engine/volume_table.h"
#include "base/size_text.h"

#include <algorithm>
#include <cstring>

namespace qlcshape {

namespace {

// The runs of PMT pages that no volume has, in order. Volumes that are being deleted have theirs
// still: until all is trimmed the pages hold old data.
std::vector<VolumeExtent> free_runs(const Superblock& s, const ArrayLayout& layout) {
    std::vector<VolumeExtent> used = s.extents;
    std::sort(used.begin(), used.end(), [](const VolumeExtent& a, const VolumeExtent& b) {
        return a.first_page < b.first_page;
    });
    std::vector<VolumeExtent> free;
    std::uint64_t at = 0;
    for (const VolumeExtent& e : used) {
        if (e.first_page > at) free.push_back({at, e.first_page - at});
        at = e.first_page + e.pages;
    }
    if (at < layout.pmt_pages) free.push_back({at, layout.pmt_pages - at});
    return free;
}

Status check_name(const std::string& name) {
    if (name.empty() || name.size() >= kNameBytes) {
        return fail(Errc::invalid_argument, "volume name '{}': it must have 1 to {} characters",
                    name, kNameBytes - 1);
    }
    for (const char c : name) {
        const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!good) {
            return fail(Errc::invalid_argument,
                        "volume name '{}': use letters, digits, '-', '_' and '.'", name);
        }
    }
    // Names become those of files and words of commands.
    if (name == "." || name == ".." || name.starts_with('-')) {
        return fail(Errc::invalid_argument,
                    "volume name '{}': it must not be '.' or '..', nor begin with '-'", name);
    }
    return {};
}

Status check_size(const std::string& name, std::uint64_t bytes) {
    if (bytes != 0 && bytes % kBlockBytes == 0) return {};
    return fail(Errc::invalid_argument,
                "volume {}: its size is {} bytes; it must be a multiple of 4 KiB, and not 0", name,
                bytes);
}

// Whether a volume that was promised `before` bytes may be promised `bytes`. In bytes, not in
// pages: the table has a spare page for each possible volume, for what is rounded up.
Status check_promise(const Superblock& s, const ArrayLayout& layout, const std::string& name,
                     std::uint64_t before, std::uint64_t bytes) {
    const std::uint64_t writable = layout.writable_blocks * kBlockBytes;
    const std::uint64_t others = promised_bytes(s) - before;
    const std::uint64_t most = writable - std::min(others, writable);
    if (bytes <= most) return {};
    return fail(Errc::no_space,
                "volume {}: {} requested; only {} of {} are unallocated (at most {} bytes)", name,
                size_text(bytes), size_text(most), size_text(writable), most);
}

// Appends runs of free pages to `extents`, and joins those that follow each other. First fit: pages
// are only numbers in the table, and where they lie makes no difference to reads. With a on pages
// 0 to 2, c on 5 and 6, and b (3 and 4) deleted, a new volume of 4 pages gets {3, 2} and {7, 2}.
Status take_pages(const Superblock& s, const ArrayLayout& layout, const std::string& name,
                  std::uint64_t wanted, Extents& extents) {
    const std::size_t before = extents.size();
    for (const VolumeExtent& run : free_runs(s, layout)) {
        if (wanted == 0) break;
        const std::uint64_t pages = std::min(wanted, run.pages);
        if (!extents.empty() && extents.back().first_page + extents.back().pages == run.first_page)
            extents.back().pages += pages;
        else
            extents.push_back({run.first_page, pages});
        wanted -= pages;
    }
    if (wanted == 0 && s.extents.size() - before + extents.size() <= kMaxExtents) return {};
    return fail(Errc::no_space,
                "volume {}: the volume table has no room for its extents; delete a volume first",
                name);
}

// Keeps the first pages of the list: a volume shrinks from its end.
void keep_pages(Extents& extents, std::uint64_t pages) {
    std::size_t kept = 0;
    for (; pages != 0; ++kept) {
        extents[kept].pages = std::min(extents[kept].pages, pages);
        pages -= extents[kept].pages;
    }
    extents.resize(kept);
}

}  // namespace

const VolumeRecord* find_volume(const Superblock& s, const std::string& name) {
    for (const VolumeRecord& v : s.volumes) {
        if (v.state != kVolumeDeleted && name == v.name) return &v;
    }
    return nullptr;
}

std::uint64_t promised_bytes(const Superblock& s) {
    std::uint64_t bytes = 0;
    for (const VolumeRecord& v : s.volumes) bytes += v.bytes;
    return bytes;
}

Status add_volume(Superblock& s, const ArrayLayout& layout, const std::string& name,
                  std::uint64_t bytes, const Uuid& uuid) {
    QS_TRY(check_name(name));
    QS_TRY(check_size(name, bytes));
    if (find_volume(s, name) != nullptr) {
        return fail(Errc::exists, "volume {}: a volume with this name exists; choose another name",
                    name);
    }
    QS_TRY(check_promise(s, layout, name, 0, bytes));
    if (s.volumes.size() == kMaxVolumes) {
        return fail(
            Errc::no_space,
            "volume {}: the array already has {} volumes, the most possible; delete one first",
            name, kMaxVolumes);
    }
    Extents extents;
    QS_TRY(take_pages(s, layout, name, div_up(bytes, kPageSpanBytes), extents));
    VolumeRecord record;
    record.uuid = uuid;
    std::memcpy(record.name, name.data(), name.size());
    record.bytes = bytes;
    record.first_extent = static_cast<std::uint32_t>(s.extents.size());
    record.extents = static_cast<std::uint32_t>(extents.size());
    record.state = 1;
    s.extents.insert(s.extents.end(), extents.begin(), extents.end());
    s.volumes.push_back(record);
    return {};
}

Extents extents_of(const Superblock& s, const VolumeRecord& volume) {
    const auto first = s.extents.begin() + volume.first_extent;
    return Extents(first, first + volume.extents);
}

Status resize_volume(Superblock& s, const ArrayLayout& layout, const std::string& name,
                     std::uint64_t bytes) {
    const VolumeRecord* found = find_volume(s, name);
    if (found == nullptr)
        return fail(Errc::not_found, "volume {}: there is no volume with this name", name);
    QS_TRY(check_size(name, bytes));
    QS_TRY(check_promise(s, layout, name, found->bytes, bytes));
    Extents extents = extents_of(s, *found);
    const std::uint64_t pages = div_up(bytes, kPageSpanBytes);
    const std::uint64_t pages_before = div_up(found->bytes, kPageSpanBytes);
    if (pages > pages_before)
        QS_TRY(take_pages(s, layout, name, pages - pages_before, extents));
    else
        keep_pages(extents, pages);
    VolumeRecord& record = s.volumes[static_cast<std::size_t>(found - s.volumes.data())];
    const auto first = s.extents.begin() + record.first_extent;
    s.extents.insert(s.extents.erase(first, first + record.extents), extents.begin(),
                     extents.end());
    // Extents of all volumes are one list: those after this one's move up or down.
    for (VolumeRecord& v : s.volumes) {
        if (v.first_extent > record.first_extent)
            v.first_extent += static_cast<std::uint32_t>(extents.size()) - record.extents;
    }
    record.extents = static_cast<std::uint32_t>(extents.size());
    record.bytes = bytes;
    return {};
}

Status remove_volume(Superblock& s, const Uuid& uuid) {
    const auto found = std::ranges::find(s.volumes, uuid, &VolumeRecord::uuid);
    if (found == s.volumes.end())
        return fail(Errc::not_found, "volume {}: there is no volume with this UUID",
                    uuid.to_string());
    const VolumeRecord gone = *found;
    s.volumes.erase(found);
    const auto first = s.extents.begin() + gone.first_extent;
    s.extents.erase(first, first + gone.extents);
    for (VolumeRecord& v : s.volumes) {
        if (v.first_extent > gone.first_extent) v.first_extent -= gone.extents;
    }
    return {};
}

}  // namespace qlcshape
