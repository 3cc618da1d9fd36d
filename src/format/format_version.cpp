// SPDX-License-Identifier: Apache-2.0
#include "format/format_version.h"

#include <string>
#include <utility>

namespace qlcshape {

namespace {

// Versions before 3 had something else where the draft is.
std::string name(std::uint16_t version, std::uint16_t draft) {
    if (version < 3 || draft == 0) return fmt::format("version {}", version);
    return fmt::format("draft {} of version {}", draft, version);
}

// A version without a draft number is complete, and so later than its drafts.
std::uint32_t age(std::uint16_t draft) { return draft == 0 ? 0x10000 : draft; }

}  // namespace

Error newer_feature(std::string_view where, std::string_view what) {
    return fail(Errc::unsupported,
                "{} has {}, which this program can't read: serve the array with the newer release "
                "that wrote it",
                where, what)
        .error();
}

Status check_format(std::uint16_t version, std::uint16_t draft) {
    if (version == kFormatVersion && draft == kFormatDraft) return {};
    const bool newer =
        std::pair(version, age(draft)) > std::pair(kFormatVersion, age(kFormatDraft));
    return fail(Errc::unsupported,
                "its disk format is {}, and this program reads only {}: serve the array with {}",
                name(version, draft), name(kFormatVersion, kFormatDraft),
                newer ? "the newer release that wrote it"
                      : "the release that made it, create another array with this program, and "
                        "copy the volumes to it");
}

}  // namespace qlcshape
