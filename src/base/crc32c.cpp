// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <cstring>

#include "base/types.h"

namespace qlcshape {

std::uint32_t crc32c_continue(std::uint32_t crc, std::span<const std::byte> bytes) {
    // ISA-L takes a non-const pointer that it only reads, an int length, and leaves out the final
    // inversion.
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
    return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~crc);
}

std::uint32_t crc32c(std::span<const std::byte> bytes) { return crc32c_continue(0, bytes); }

std::uint32_t crc32c_without(std::span<const std::byte> bytes, std::size_t field) {
    const std::byte zero[4] = {};
    const std::uint32_t crc = crc32c_continue(crc32c(bytes.first(field)), zero);
    return crc32c_continue(crc, bytes.subspan(field + sizeof(zero)));
}

std::uint32_t copy_block_crc32c(std::byte* to, const std::byte* from) {
    std::memcpy(to, from, kBlockBytes);
    return crc32c({to, kBlockBytes});
}

std::uint32_t zero_block_crc32c() {
    static const std::uint32_t crc = [] {
        const std::byte zero[kBlockBytes] = {};
        return crc32c(zero);
    }();
    return crc;
}

}  // namespace qlcshape
