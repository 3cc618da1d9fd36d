// SPDX-License-Identifier: Apache-2.0
#include "format/bitmap_page.h"

#include "base/crc32c.h"
#include "format/format_version.h"

namespace qlcshape {

namespace {
constexpr std::uint64_t kBitmapPageMagic = 0x3150414d45504853;  // "SHPEMAP1"
}

std::uint32_t BitmapPage::computed_crc() {
    return crc32c_without({block_, kBlockBytes}, offsetof(BitmapPageHeader, crc));
}

void BitmapPage::seal(const Uuid& array, std::uint64_t page, std::uint64_t generation) {
    auto& h = header();
    h = BitmapPageHeader{};
    h.magic = kBitmapPageMagic;
    h.format = kFormatVersion;
    h.array = array;
    h.page = page;
    h.generation = generation;
    h.crc = computed_crc();
}

bool BitmapPage::valid(const Uuid& array, std::uint64_t page) {
    const auto& h = header();
    return h.magic == kBitmapPageMagic && h.format == kFormatVersion && h.array == array &&
           h.page == page && h.crc == computed_crc();
}

}  // namespace qlcshape
