// SPDX-License-Identifier: Apache-2.0
#include "tools/demo_plan.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <fstream>

#include "base/error.h"
#include "format/layout.h"

namespace qlcshape::tools {

namespace {

constexpr std::uint64_t kLargestBand = 128 * MiB;
constexpr std::uint64_t kSmallestBand = 512 * KiB;  // four strips
constexpr std::uint64_t kSmallestScm = 64 * MiB;
constexpr double kTolerance = 1.03;  // how much more than the volume may be writable

// The smallest array of these parameters that can be promised so much.
Result<ArrayLayout> smallest_array(ArrayParameters p, std::uint64_t volume_bytes) {
    const std::uint64_t stripe_band = p.data_strips * p.band_bytes;
    p.scm_bytes = kSmallestScm + volume_bytes / kPageEntries * 2;
    std::uint64_t bands = volume_bytes / stripe_band + 2;
    for (;; ++bands) {
        p.qlc_bytes = bands * p.band_bytes;
        Result<ArrayLayout> layout = make_layout(p);
        if (layout && layout->writable_blocks * kBlockBytes >= volume_bytes) return layout;
        const bool hopeless = bands > 4 * volume_bytes / stripe_band + 1000;
        if (hopeless)
            return layout ? fail(Errc::invalid_argument, "no array for that size") : layout;
    }
}

Result<ArrayLayout> choose_array(std::uint64_t volume_bytes) {
    ArrayParameters p;
    p.band_bytes = kLargestBand;
    p.pmt_copies = 0;
    for (;; p.band_bytes /= 2) {
        Result<ArrayLayout> layout = smallest_array(p, volume_bytes);
        if (!layout) return layout;
        const std::uint64_t writable = layout->writable_blocks * kBlockBytes;
        if (static_cast<double>(writable) <= kTolerance * static_cast<double>(volume_bytes))
            return layout;
        if (p.band_bytes == kSmallestBand) {
            return fail(Errc::invalid_argument,
                        "--size: {} MiB is too little for GC to matter: give at least {}MiB",
                        volume_bytes / MiB, div_up(writable, MiB));
        }
    }
}

void write_file(std::ofstream& file, const ArrayLayout& layout) {
    fmt::print(file,
               "[array]\nname = \"demo\"\ndata_strips = {}\nstrip = \"{}KiB\"\nband = \"{}KiB\"\n"
               "overprovision = {}\n",
               layout.p.data_strips, layout.p.strip_bytes / KiB, layout.p.band_bytes / KiB,
               layout.p.overprovision_ppm / 1e6);
    const auto device = [&](const char* role, std::uint32_t number, std::uint64_t bytes) {
        fmt::print(file, "\n[[device]]\nrole = \"{}\"\npath = \"{}{}.img\"\nsize = {}\n", role,
                   role, number, bytes);
    };
    for (std::uint32_t i = 0; i < layout.p.qlc_count; ++i) device("qlc", i, layout.p.qlc_bytes);
    for (std::uint32_t i = 0; i < layout.p.scm_count; ++i) device("scm", i, layout.p.scm_bytes);
}

}  // namespace

Result<Options> plan_demo(const std::string& folder, std::uint64_t volume_bytes) {
    const Result<ArrayLayout> layout = choose_array(volume_bytes);
    if (!layout) return fail(layout.error());
    const std::string path = folder + "/array.toml";
    std::ofstream file(path);
    write_file(file, *layout);
    file.close();
    if (!file)
        return fail(Errc::io_error, "{}: cannot be written: choose another folder with --dir",
                    path);
    return Options::from_file(path);
}

}  // namespace qlcshape::tools
