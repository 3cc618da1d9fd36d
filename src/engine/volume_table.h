// The volumes of an array: names, sizes, and which LBAs belong to them. Pure bookkeeping on the
// superblock's lists; making a change durable is the caller's.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/uuid.h"
#include "format/superblock.h"

namespace qlcshape {

// A volume in use: what a handle leads to.
class VolumeState {
  public:
    VolumeState(class Core& owner, std::string volume_name, Uuid id, std::uint64_t size,
                std::vector<VolumeExtent> runs)
        : core(owner),
          name(std::move(volume_name)),
          uuid(id),
          bytes(size),
          extents(std::move(runs)) {}

    // The array's block for a byte of the volume.
    Lba lba_of(std::uint64_t offset_bytes) const {
        std::uint64_t page = offset_bytes / kPageSpanBytes;
        std::size_t i = 0;
        while (page >= extents[i].pages) page -= extents[i++].pages;
        return Lba((extents[i].first_page + page) * kPageEntries +
                   offset_bytes % kPageSpanBytes / kBlockBytes);
    }

    class Core& core;
    const std::string name;
    const Uuid uuid;
    const std::uint64_t bytes;
    const std::vector<VolumeExtent> extents;
    std::atomic<bool> deleted{false};
    std::atomic<std::uint32_t> in_flight{0};
};

// Adds a volume to the lists; on an error they are as before.
Status add_volume(Superblock& superblock, const ArrayLayout& layout, const std::string& name,
                  std::uint64_t bytes, const Uuid& uuid);
Status remove_volume(Superblock& superblock, const std::string& name);
const VolumeRecord* find_volume(const Superblock& superblock, const std::string& name);
std::uint64_t promised_bytes(const Superblock& superblock);

}  // namespace qlcshape
