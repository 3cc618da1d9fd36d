// SPDX-License-Identifier: Apache-2.0
// A block of tombstones. It has no checksum of its own: each extent that counts lies in one page.
#include "base/buffer.h"
#include "format/tombstone.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    fuzz::Input input(data, size);
    Buffer block(kBlockBytes), again(kBlockBytes);
    input.take(block.span());
    const std::uint32_t count = tombstone_count(block.data());
    QS_ASSERT(count <= kTombstonesPerBlock);
    for (std::uint32_t i = 0; i < count; ++i) {
        const Tombstone t = load_tombstone(block.data(), i);
        QS_ASSERT(t.blocks >= 1 && t.lba.value % kPageEntries + t.blocks <= kPageEntries);
        QS_ASSERT(t.version.value >> kVersionBits == 0);
        store_tombstone(again.data(), i, t);
        const Tombstone same = load_tombstone(again.data(), i);
        QS_ASSERT(same.lba == t.lba && same.blocks == t.blocks && same.version == t.version);
    }
    return 0;
}
