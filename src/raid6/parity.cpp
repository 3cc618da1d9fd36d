// SPDX-License-Identifier: Apache-2.0
#include "raid6/parity.h"

#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace qlcshape {

namespace {

constexpr std::size_t kMaxRoles = kMaxDataStrips + 2;
constexpr std::size_t kTableBytes = 32;  // ISA-L's expansion of one coefficient

using Bytes = unsigned char;

// The roles from which the lost ones are computed: the first k that are left.
struct Survivors {
    std::uint32_t roles[kMaxDataStrips];
};

Survivors choose_survivors(std::uint32_t k, std::span<const std::uint32_t> lost) {
    Survivors chosen;
    std::uint32_t count = 0;
    for (std::uint32_t role = 0; count < k; ++role) {
        if (std::ranges::find(lost, role) == lost.end()) chosen.roles[count++] = role;
    }
    return chosen;
}

// Row r gives strip r as a sum of the data strips; inverted, each data strip as a sum of the
// survivors; and both together, each lost strip as such a sum.
void rows_of_lost(std::uint32_t k, std::span<const std::uint32_t> lost, const Survivors& survivors,
                  Bytes* rows) {
    Bytes encode[kMaxRoles * kMaxDataStrips];
    Bytes chosen[kMaxDataStrips * kMaxDataStrips];
    Bytes inverse[kMaxDataStrips * kMaxDataStrips];
    gf_gen_rs_matrix(encode, static_cast<int>(k + 2), static_cast<int>(k));
    for (std::uint32_t i = 0; i < k; ++i) {
        std::memcpy(chosen + i * k, encode + survivors.roles[i] * k, k);
    }
    const int singular = gf_invert_matrix(chosen, inverse, static_cast<int>(k));
    QS_ASSERT(singular == 0);
    for (std::size_t i = 0; i < lost.size(); ++i) {
        const Bytes* wanted = encode + lost[i] * k;
        for (std::uint32_t column = 0; column < k; ++column) {
            Bytes sum = 0;
            for (std::uint32_t j = 0; j < k; ++j) {
                if (wanted[j] == 0) continue;
                sum = static_cast<Bytes>(sum ^ gf_mul(wanted[j], inverse[j * k + column]));
            }
            rows[i * k + column] = sum;
        }
    }
}

std::uint32_t data_strips_of(std::span<std::byte* const> strips) {
    QS_ASSERT(strips.size() >= kMinDataStrips + 2 && strips.size() <= kMaxRoles);
    return static_cast<std::uint32_t>(strips.size() - 2);
}

}  // namespace

void compute_parity(std::span<std::byte* const> strips, std::size_t bytes) {
    data_strips_of(strips);
    QS_ASSERT(bytes % 32 == 0);
    void* vectors[kMaxRoles];
    std::ranges::copy(strips, vectors);
    const int failed = pq_gen(static_cast<int>(strips.size()), static_cast<int>(bytes), vectors);
    QS_ASSERT(failed == 0);
}

void reconstruct(std::span<std::byte* const> strips, std::size_t bytes,
                 std::span<const std::uint32_t> lost) {
    const std::uint32_t k = data_strips_of(strips);
    QS_ASSERT(lost.size() == 1 || (lost.size() == 2 && lost[0] != lost[1]));
    for (const std::uint32_t role : lost) QS_ASSERT(role < k + 2);

    const Survivors survivors = choose_survivors(k, lost);
    Bytes rows[2 * kMaxDataStrips];
    rows_of_lost(k, lost, survivors, rows);

    Bytes tables[kTableBytes * 2 * kMaxDataStrips];
    Bytes* sources[kMaxDataStrips];
    Bytes* targets[2];
    for (std::uint32_t i = 0; i < k; ++i) {
        sources[i] = reinterpret_cast<Bytes*>(strips[survivors.roles[i]]);
    }
    for (std::size_t i = 0; i < lost.size(); ++i) {
        targets[i] = reinterpret_cast<Bytes*>(strips[lost[i]]);
    }
    const auto targets_count = static_cast<int>(lost.size());
    ec_init_tables(static_cast<int>(k), targets_count, rows, tables);
    ec_encode_data(static_cast<int>(bytes), static_cast<int>(k), targets_count, tables, sources,
                   targets);
}

}  // namespace qlcshape
