#include "engine/volume_table.h"

#include <algorithm>
#include <cstring>

namespace qlcshape {

namespace {

// The runs of PMT pages that no volume has, in order.
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
    return {};
}

}  // namespace

const VolumeRecord* find_volume(const Superblock& s, const std::string& name) {
    for (const VolumeRecord& v : s.volumes) {
        if (name == v.name) return &v;
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
    if (bytes == 0 || bytes % kBlockBytes != 0) {
        return fail(Errc::invalid_argument,
                    "volume {}: its size is {} bytes, it must be a multiple of {}", name, bytes,
                    kBlockBytes);
    }
    if (find_volume(s, name) != nullptr) {
        return fail(Errc::exists, "volume {}: there is one of that name already", name);
    }
    const std::uint64_t writable = layout.writable_blocks * kBlockBytes;
    const std::uint64_t promised = promised_bytes(s);
    if (bytes > writable - std::min(promised, writable)) {
        return fail(Errc::no_space,
                    "volume {}: {} bytes are asked for, and of the array's {} writable bytes {} "
                    "are promised "
                    "already: at most {} can be had",
                    name, bytes, writable, promised, writable - std::min(promised, writable));
    }
    if (s.volumes.size() == kMaxVolumes) {
        return fail(Errc::no_space, "volume {}: the array has its {} volumes", name, kMaxVolumes);
    }
    std::vector<VolumeExtent> extents;
    std::uint64_t wanted = div_up(bytes, kPageSpanBytes);
    for (const VolumeExtent& run : free_runs(s, layout)) {
        if (wanted == 0) break;
        const std::uint64_t pages = std::min(wanted, run.pages);
        extents.push_back({run.first_page, pages});
        wanted -= pages;
    }
    if (wanted != 0 || s.extents.size() + extents.size() > kMaxExtents) {
        return fail(Errc::no_space, "volume {}: the table of volumes has no room for its extents",
                    name);
    }
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

Status remove_volume(Superblock& s, const std::string& name) {
    const VolumeRecord* found = find_volume(s, name);
    if (found == nullptr)
        return fail(Errc::not_found, "volume {}: there is none of that name", name);
    const VolumeRecord gone = *found;
    s.volumes.erase(s.volumes.begin() + (found - s.volumes.data()));
    const auto first = s.extents.begin() + gone.first_extent;
    s.extents.erase(first, first + gone.extents);
    for (VolumeRecord& v : s.volumes) {
        if (v.first_extent > gone.first_extent) v.first_extent -= gone.extents;
    }
    return {};
}

}  // namespace qlcshape
