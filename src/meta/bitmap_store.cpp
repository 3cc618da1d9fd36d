// SPDX-License-Identifier: Apache-2.0
#include "meta/bitmap_store.h"

#include <algorithm>
#include <cstring>

namespace qlcshape {

namespace {

constexpr std::uint64_t kReadPages = 64;  // of bits, at once

Io read_io(Device* scm, std::uint64_t offset, std::uint64_t bytes, std::byte* data) {
    Io io;
    io.kind = IoKind::read;
    io.device = scm;
    io.offset = offset;
    io.bytes = bytes;
    io.data = data;
    return io;
}

// A block that can't be read is left as zeroes, which are no page: the others of the drive count.
void read_places(Device* scm, std::uint64_t offset, std::span<std::byte> blocks, IoQueue& queue) {
    Io all = read_io(scm, offset, blocks.size(), blocks.data());
    if (run(queue, all)) return;
    for (std::uint64_t at = 0; at < blocks.size(); at += kBlockBytes) {
        Io io = read_io(scm, offset + at, kBlockBytes, blocks.data() + at);
        if (!run(queue, io)) std::memset(blocks.data() + at, 0, kBlockBytes);
    }
}

// A copy of a page of bits, and the drive that has it.
struct Copy {
    std::size_t drive;
    BitmapPage page;
    std::uint64_t generation() { return page.header().generation; }
};

// Whether each drive that has a whole copy has one with all of these bits that are of its own pages
// of the table.
bool all_have(const ArrayLayout& l, std::uint64_t number, BitmapPage bits,
              const std::vector<Copy>& whole) {
    std::vector<bool> has(l.p.scm_count), lacks(l.p.scm_count);
    for (const Copy& c : whole) {
        BitmapPage own = c.page;
        bool all = true;
        for (std::uint64_t i = 0; i < kBitmapPageWords && all; ++i) {
            const std::uint64_t missing = bits.words()[i] & ~own.words()[i];
            for (std::uint64_t bit = 0; bit < 64 && missing != 0; ++bit) {
                const PageId page(number * kBitmapPageBits + i * 64 + bit);
                all &= (missing >> bit & 1) == 0 || !l.pmt_page_on(page, c.drive);
            }
        }
        (all ? has : lacks)[c.drive] = true;
    }
    for (std::size_t i = 0; i < has.size(); ++i) {
        if (lacks[i] && !has[i]) return false;
    }
    return true;
}

// The one that counts: the newest. Where it is in one place only, and a drive has none of its bits,
// the power went before that drive had it, and the copy before counts. Where it is in both places a
// drive that lacks it lost writes, or went back in time: what it has of the table is of no use with
// these bits. Null: no copy will do.
const Copy* choose(const ArrayLayout& l, std::uint64_t number, const std::vector<Copy>& whole) {
    const auto generation = [](Copy c) { return c.generation(); };
    const auto newest = std::ranges::max_element(whole, {}, generation);
    if (newest == whole.end()) return nullptr;
    if (all_have(l, number, newest->page, whole)) return &*newest;
    for (const Copy& c : whole) {
        BitmapPage before = c.page, now = newest->page;
        if (generation(c) + 1 == generation(*newest) &&
            std::memcmp(before.words(), now.words(), kBitmapPageWords * 8) != 0 &&
            all_have(l, number, before, whole))
            return &c;
    }
    return nullptr;
}

}  // namespace

LoadedBitmap load_bitmap(const ArrayContext& array, TableBitmap& bitmap, IoQueue& queue) {
    LoadedBitmap loaded;
    const std::uint64_t pages = bitmap.pages();
    std::vector<Buffer> drives;
    for (std::size_t i = 0; i < array.scm.size(); ++i)
        drives.emplace_back(std::min(kReadPages, pages) * 2 * kBlockBytes);
    for (std::uint64_t first = 0; first < pages; first += kReadPages) {
        const std::uint64_t n = std::min(kReadPages, pages - first);
        for (std::size_t i = 0; i < drives.size(); ++i) {
            if (!array.scm_in(i)) continue;
            read_places(array.scm[i], array.layout.bitmap_page_offset(first, 0),
                        drives[i].span().first(n * 2 * kBlockBytes), queue);
        }
        for (std::uint64_t page = first; page < first + n; ++page) {
            std::vector<Copy> whole;
            std::uint64_t newest = 0;
            for (std::size_t i = 0; i < drives.size(); ++i) {
                for (std::uint64_t place = 0; array.scm_in(i) && place < 2; ++place) {
                    BitmapPage seen(drives[i].data() + ((page - first) * 2 + place) * kBlockBytes);
                    if (!seen.valid(array.array, page)) continue;
                    whole.push_back({i, seen});
                    newest = std::max(newest, seen.header().generation);
                }
            }
            loaded.generations.push_back(newest);
            const Copy* const counts = choose(array.layout, page, whole);
            BitmapPage bits = counts == nullptr ? BitmapPage(nullptr) : counts->page;
            if (counts == nullptr)
                loaded.lost.push_back(page);
            else
                bitmap.copy_from(page, bits.words());
            const bool everywhere =
                counts != nullptr && whole.size() == 2 * array.scm_in_count() &&
                std::ranges::all_of(whole, [&](Copy c) {
                    return std::memcmp(c.page.words(), bits.words(), kBitmapPageWords * 8) == 0;
                });
            if (!everywhere) bitmap.set_changed(page);
        }
    }
    return loaded;
}

BitmapWriter::BitmapWriter(const ArrayContext& array, TableBitmap& bitmap,
                           std::vector<std::uint64_t> generations)
    : array_(array),
      bitmap_(bitmap),
      generations_(std::move(generations)),
      blocks_(std::min<std::uint64_t>(kAtOnce, bitmap.pages()) * kBlockBytes) {
    ios_.reserve(blocks_.size() / kBlockBytes * DrivesNow::kMost);
}

bool BitmapWriter::take() {
    used_ = 0;
    second_ = false;
    for (; cursor_ < bitmap_.pages() && used_ < blocks_.size() / kBlockBytes; ++cursor_) {
        if (!bitmap_.take_changed(cursor_)) continue;
        bitmap_.copy_to(cursor_, BitmapPage(blocks_.data() + used_ * kBlockBytes).words());
        pages_[used_++] = cursor_;
    }
    return taken();
}

std::span<Io> BitmapWriter::write(PersistencePoint point) {
    ios_.clear();
    for (std::size_t i = 0; i < used_; ++i) {
        const std::uint64_t page = pages_[i], generation = generations_[page] + 1;
        std::byte* block = blocks_.data() + i * kBlockBytes;
        BitmapPage(block).seal(array_.array, page, generation);
        for (Device* scm : array_.scm_written()) {
            Io& io = ios_.emplace_back();
            io.kind = IoKind::write;
            io.point = point;
            io.device = scm;
            io.offset = array_.layout.bitmap_page_offset(page, generation);
            io.bytes = kBlockBytes;
            io.data = block;
        }
    }
    return ios_;
}

bool BitmapWriter::wrote() {
    for (std::size_t i = 0; i < used_; ++i) ++generations_[pages_[i]];
    second_ = !second_;
    return second_;
}

void BitmapWriter::give_up() {
    for (std::size_t i = 0; i < used_; ++i) bitmap_.set_changed(pages_[i]);
    used_ = 0;
}

Status write_bitmap(const ArrayContext& array, BitmapWriter& writer, IoQueue& queue) {
    const auto flush = [&] {
        return flush_drives(array.scm_written(), queue, PersistencePoint::table_bits_flush);
    };
    writer.begin();
    while (writer.take()) {
        QS_TRY(flush());
        do {
            QS_TRY(run(queue, writer.write(PersistencePoint::table_bits_write)));
            QS_TRY(flush());
        } while (writer.wrote());
    }
    return {};
}

}  // namespace qlcshape
