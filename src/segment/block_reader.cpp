// SPDX-License-Identifier: Apache-2.0
#include "segment/block_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "base/canary.h"
#include "base/crc32c.h"
#include "base/probe.h"

namespace qlcshape {

namespace {

std::uint32_t all_of(const BlockRead& read) {
    return read.asked & (read.blocks == 32 ? ~0u : (1u << read.blocks) - 1);
}

}  // namespace

BlockReader::BlockReader(const ArrayContext& array, BandTable& bands, IoQueue& queue,
                         Counters& counters, Damage damage)
    : array_(array),
      bands_(bands),
      queue_(queue),
      counters_(counters),
      damage_(damage),
      rebuild_(array, queue),
      check_(array, bands, queue) {}

std::uint32_t BlockReader::run_length(Pba pba, std::uint32_t blocks) const {
    const std::uint32_t strip_blocks = array_.layout.strip_blocks();
    const std::uint32_t in_segment = array_.layout.header_blocks + array_.layout.slot_of(pba);
    return std::min({blocks, strip_blocks - in_segment % strip_blocks, BlockRead::kMaxBlocks});
}

void BlockReader::read(BlockRead& read) {
    QS_ASSERT(read.blocks > 0 && run_length(read.first, read.blocks) == read.blocks);
    ++busy_;
    read.reader = this;
    read.bad = 0;
    read.drives_away = false;
    read.to_rebuild = 0;
    Io& io = read.io;
    io = transfer_of(read);
    // Not rebuilt here: `done` comes from poll(), never from read().
    if (io.device == nullptr) {
        read.to_rebuild = all_of(read);
        waiting_.push_back(read);
        return;
    }
    io.context = &read;
    io.done = [](Io& done) {
        auto& r = *static_cast<BlockRead*>(done.context);
        r.reader->direct_done(r);
    };
    queue_.submit(io);
}

Io BlockReader::transfer_of(const BlockRead& read) const {
    const ArrayLayout& l = array_.layout;
    return array_.segment_io(IoKind::read, l.band_of(read.first), l.segment_of(read.first),
                             l.slot_byte(l.slot_of(read.first)),
                             std::uint64_t{read.blocks} * kBlockBytes, read.data);
}

std::uint32_t BlockReader::unproved(const BlockRead& read) const {
    std::uint32_t wrong = 0;
    for (std::uint32_t i = 0; i < read.blocks; ++i) {
        if ((read.asked >> i & 1) == 0) continue;
        const std::uint32_t crc = crc32c({read.data + i * kBlockBytes, kBlockBytes});
        if (!read.expected[i].crc_matches(array_.layout, crc) && !canary(Canary::ignore_crc))
            wrong |= 1u << i;
    }
    return wrong;
}

void BlockReader::direct_done(BlockRead& read) {
    if (read.io.kept) {
        read.own = Buffer(std::size_t{BlockRead::kMaxBlocks} * kBlockBytes);
        read.data = read.own.data();
    }
    if (read.io.error_number != 0) {
        counters_.add(Counter::io_errors, 1);
        read.to_rebuild = all_of(read);
    } else {
        read.to_rebuild = unproved(read);
        const auto wrong = static_cast<std::uint64_t>(std::popcount(read.to_rebuild));
        counters_.add(Counter::verify_failed, wrong);
        if (wrong != 0) {
            const auto first = static_cast<std::uint64_t>(std::countr_zero(read.to_rebuild));
            read.io.device->count_mismatch(read.io.offset + first * kBlockBytes, wrong);
        }
    }
    if (read.to_rebuild == 0)
        finish(read);
    else
        waiting_.push_back(read);
}

// One read at a time, for there is one Rebuild. Others wait in order; reads that need none pass.
bool BlockReader::poll() {
    if (rebuilding_ != nullptr || waiting_.empty()) return false;
    rebuilding_ = &waiting_.pop_front();
    rebuild_or_finish(*rebuilding_);
    return true;
}

void BlockReader::rebuild_or_finish(BlockRead& read) {
    if (read.to_rebuild == 0) {
        rebuilding_ = nullptr;
        return finish(read);
    }
    rebuilt_block_ = static_cast<std::uint32_t>(__builtin_ctz(read.to_rebuild));
    read.to_rebuild &= read.to_rebuild - 1;
    const Pba pba(read.first.value + rebuilt_block_);
    const ArrayLayout& l = array_.layout;
    // The band's sequence is still that of the entry: a band with a reader is not erased, nor is a
    // victim while its collector reads it.
    rebuild_.block({l.band_of(pba), bands_.sequence_of(l.band_of(pba)), l.segment_of(pba),
                    l.slot_of(pba), read.lbas[rebuilt_block_]},
                   [this](bool good) { block_rebuilt(good); });
}

void BlockReader::block_rebuilt(bool good) {
    BlockRead& read = *rebuilding_;
    const std::uint32_t i = rebuilt_block_;
    // Proved by the header; and it must be what the table expects, otherwise the header is not the
    // one that the entry was made from.
    good = good &&
           read.expected[i].crc_matches(array_.layout, crc32c({rebuild_.result(), kBlockBytes}));
    if (good) {
        std::memcpy(read.data + i * kBlockBytes, rebuild_.result(), kBlockBytes);
        counters_.add(Counter::reconstructed, 1);
        QS_PROBE(block_rebuilt, read.lbas[i].value, read.first.value + i);
    } else {
        read.bad |= 1u << i;
        read.drives_away |= rebuild_.drives_away();
        counters_.add(Counter::unreadable, 1);
    }
    if (!good || damage_ == Damage::ignored || !check_.wanted(read.io))
        return rebuild_or_finish(read);
    check_.begin(Pba(read.first.value + i), read.expected[i],
                 [this] { rebuild_or_finish(*rebuilding_); });
}

void BlockReader::finish(BlockRead& read) {
    --busy_;
    read.done(read);
}

}  // namespace qlcshape
