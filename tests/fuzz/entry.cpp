// SPDX-License-Identifier: Apache-2.0
// An entry of a segment header or TPS record: any 15 bytes are one, and tell the same when stored
// again.
#include "format/entry.h"

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qlcshape;
    fuzz::Input input(data, size);
    std::byte from[kEntryBytes] = {}, again[kEntryBytes] = {};
    input.take(from);
    const Entry e = load_entry(from);
    QS_ASSERT(e.lba.value >> kLbaBits == 0 && e.version.value >> kVersionBits == 0);
    store_entry(again, e);
    QS_ASSERT(std::memcmp(from, again, sizeof(from)) == 0);
    return 0;
}
