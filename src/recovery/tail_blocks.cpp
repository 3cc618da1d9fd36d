// SPDX-License-Identifier: Apache-2.0
#include "recovery/tail_blocks.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <unordered_map>

namespace qlcshape {

namespace {

// What the segments of bands say of the blocks that are looked for.
class Committed {
  public:
    explicit Committed(const TailBlocks& wanted) : with_trims_(!wanted.trims.empty()) {
        for (const auto& [entry, block] : wanted.blocks) newest_.try_emplace(entry.lba.value);
    }

    Status see_band(const ArrayLayout& l, BandId band, const BandRecord& record,
                    SegmentScan& scan) {
        struct TrimSlot {
            std::uint32_t segment, slot;
            Entry entry;
        };
        std::vector<TrimSlot> lists;
        QS_TRY(scan.headers(band, record.sequence, 0, record.segments,
                            [&](std::uint32_t segment, const SegmentHeader* header) {
                                if (header == nullptr) return;
                                for (std::uint32_t i = 0; i < l.slots_per_segment; ++i) {
                                    const Entry e = header->entry(i);
                                    if (e.kind != EntryKind::tombstones)
                                        note(e);
                                    else if (with_trims_)
                                        lists.push_back({segment, i, e});
                                }
                            }));
        for (const TrimSlot& t : lists) {
            const std::byte* block =
                scan.read_block(band, record.sequence, t.segment, t.slot, t.entry);
            if (block == nullptr) continue;  // then they are committed once more
            for (std::uint32_t i = 0; i < tombstone_count(block); ++i)
                trims_.insert(key(load_tombstone(block, i)));
        }
        return {};
    }

    // Of one version data is better than word that the block is lost.
    bool has(const Entry& e) const {
        const Newest& n = newest_.at(e.lba.value);
        return (e.kind == EntryKind::data ? n.data : std::max(n.data, n.poisoned)) >= e.version;
    }
    bool has(const Tombstone& t) const { return trims_.contains(key(t)); }

  private:
    struct Newest {
        Version data, poisoned;
    };
    using TrimKey = std::tuple<std::uint64_t, std::uint64_t, std::uint32_t>;
    static TrimKey key(const Tombstone& t) { return {t.lba.value, t.version.value, t.blocks}; }

    void note(const Entry& e) {
        const auto known = newest_.find(e.lba.value);
        if (e.kind == EntryKind::empty || known == newest_.end()) return;
        Version& version = e.kind == EntryKind::data ? known->second.data : known->second.poisoned;
        version = std::max(version, e.version);
    }

    const bool with_trims_;
    std::unordered_map<std::uint64_t, Newest> newest_;  // by LBA
    std::set<TrimKey> trims_;
};

}  // namespace

void TailBlocks::take(const Entry& entry, const std::byte* block) {
    if (entry.kind == EntryKind::empty) return;
    if (entry.kind != EntryKind::tombstones) {
        blocks.emplace_back(entry, std::vector<std::byte>(block, block + kBlockBytes));
        return;
    }
    for (std::uint32_t i = 0; i < tombstone_count(block); ++i)
        trims.push_back(load_tombstone(block, i));
}

std::size_t TailBlocks::slots() const {
    return blocks.size() + div_up(trims.size(), kTombstonesPerBlock);
}

Status TailBlocks::drop_committed(const ArrayContext& array, const std::vector<BandRecord>& records,
                                  std::uint64_t since, SegmentScan& scan) {
    if (blocks.empty() && trims.empty()) return {};
    Committed committed(*this);
    for (std::uint32_t i = 0; i < array.layout.bands; ++i) {
        if (records[i].counts() && records[i].epoch > since)
            QS_TRY(committed.see_band(array.layout, BandId(i), records[i], scan));
    }
    std::erase_if(blocks, [&](const auto& taken) { return committed.has(taken.first); });
    std::erase_if(trims, [&](const Tombstone& t) { return committed.has(t); });
    return {};
}

}  // namespace qlcshape
