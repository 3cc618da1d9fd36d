// SPDX-License-Identifier: Apache-2.0
// The engine's units and its kinds of address. Each address is a separate type, so that a function
// that wants one can't be given another.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace qlcshape {

inline constexpr std::uint32_t kBlockBytes = 4096;  // the unit of mapping and of checksums
inline constexpr std::uint32_t kSectorBytes = 512;  // the unit of a user's request
inline constexpr std::uint32_t kPageEntries = 512;  // PMT entries in a 4 KiB page
inline constexpr std::uint64_t kPageSpanBytes = std::uint64_t{kPageEntries} * kBlockBytes;  // 2 MiB
inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;
inline constexpr std::uint64_t TiB = 1024 * GiB;

template <class Tag, class Rep>
struct Strong {
    Rep value{};
    constexpr Strong() = default;
    constexpr explicit Strong(Rep v) : value(v) {}
    auto operator<=>(const Strong&) const = default;
};

using Lba = Strong<struct LbaTag, std::uint64_t>;  // block address, over all volumes of an array
using PageId = Strong<struct PageIdTag, std::uint64_t>;  // PMT page: lba / 512
using Pba = Strong<struct PbaTag, std::uint64_t>;        // band, segment and block as one number
using BandId = Strong<struct BandIdTag, std::uint32_t>;
using Version = Strong<struct VersionTag, std::uint64_t>;  // 48 bits; orders writes to one block

inline PageId page_of(Lba lba) { return PageId(lba.value / kPageEntries); }

constexpr std::uint64_t div_up(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }
constexpr std::uint64_t round_up(std::uint64_t a, std::uint64_t b) { return div_up(a, b) * b; }
constexpr std::uint64_t round_down(std::uint64_t a, std::uint64_t b) { return a / b * b; }

}  // namespace qlcshape
