// SPDX-License-Identifier: Apache-2.0
#include "recovery/page_copies.h"

#include <cstring>

namespace qlcshape {

PageCopies::PageCopies(const ArrayContext& array, IoQueue& queue, std::size_t at_once)
    : array_(array),
      queue_(queue),
      copies_(array.layout.p.pmt_copies),
      blocks_(at_once * copies_ * kBlockBytes),
      other_(kPageEntries) {}

void PageCopies::read(std::span<const PageId> pages) {
    pages_.assign(pages.begin(), pages.end());
    taken_.assign(pages.size(), 0);
    ios_.clear();
    std::vector<Io> reads;
    for (std::size_t i = 0; i < pages.size(); ++i) {
        for (std::uint32_t copy = 0; copy < copies_; ++copy) {
            const Io io = array_.pmt_io(IoKind::read, pages[i], copy, block(i, copy));
            if (io.device != nullptr) reads.push_back(io);
            ios_.push_back(io);
        }
    }
    static_cast<void>(run(queue_, reads));
    std::size_t at = 0;
    for (Io& io : ios_) {
        if (io.device != nullptr) io.error_number = reads[at++].error_number;
    }
}

// The first whole copy, in the order in which the cache asks for them later.
PageCopies::Seen PageCopies::see(std::size_t index, PmtEntry* entries) {
    Seen seen;
    seen.alike = true;
    for (std::uint32_t copy = 0; copy < copies_; ++copy) {
        const Io& io = ios_[index * copies_ + copy];
        if (io.device == nullptr) continue;
        if (seen.good && io.error_number == 0 &&
            std::memcmp(io.data, block(index, taken_[index]), kBlockBytes) == 0)
            continue;
        std::uint32_t generation = 0;
        const bool whole = io.error_number == 0 &&
                           array_.decode_page(io.data, pages_[index],
                                              seen.good ? other_.data() : entries, generation);
        seen.alike &= whole && !seen.good;
        if (!whole) seen.damaged = io;
        if (seen.good || !whole) continue;
        seen.good = true;
        seen.generation = generation;
        taken_[index] = copy;
    }
    return seen;
}

Status PageCopies::mend(std::size_t index) {
    std::vector<Io> writes;
    for (std::uint32_t copy = 0; copy < copies_; ++copy) {
        Io io = array_.pmt_io(IoKind::write, pages_[index], copy, block(index, taken_[index]),
                              PersistencePoint::table_update_write);
        if (io.device != nullptr && copy != taken_[index]) writes.push_back(io);
    }
    return run(queue_, writes);
}

}  // namespace qlcshape
