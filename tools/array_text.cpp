// SPDX-License-Identifier: Apache-2.0
#include "tools/array_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "base/types.h"
#include "base/utf8.h"
#include "engine/array_file.h"

namespace qlcshape::tools {

namespace {

namespace fs = std::filesystem;

std::string toml_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\')
            out += fmt::format("\\{}", c);
        else if (byte < 0x20 || byte == 0x7F)
            out += fmt::format("\\u{:04X}", byte);
        else
            out += c;
    }
    return out + '"';
}

// With the largest unit that leaves nothing over.
std::string toml_size(std::uint64_t bytes) {
    constexpr std::array<std::pair<std::uint64_t, const char*>, 3> kUnits{
        {{GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}}};
    for (const auto& [unit, name] : kUnits) {
        if (bytes >= unit && bytes % unit == 0) return fmt::format("\"{}{}\"", bytes / unit, name);
    }
    return std::to_string(bytes);
}

std::string path_from(const fs::path& folder, const std::string& device) {
    const fs::path absolute = fs::absolute(device).lexically_normal();
    const fs::path relative = absolute.lexically_relative(folder);
    return relative.empty() || *relative.begin() == ".." ? absolute.string() : relative.string();
}

std::string member_text(const SurveyedMember& member, const fs::path& folder) {
    const MemberRecord& r = member.record;
    if (member.removed()) return "";
    if (!member.usable()) {
        std::string text = fmt::format("\n# {} drive {} (device UUID {}) is ", to_string(r.role),
                                       r.index, r.uuid.to_string());
        if (member.devices.empty()) return text + "missing.\n";
        return text + fmt::format("{}: {}\n", member.fault(),
                                  printable(member.devices.front().candidate.path));
    }
    const SurveyedDevice& device = member.devices.front();
    std::string text = fmt::format("\n[[device]]\nrole = \"{}\"\npath = {}\n", to_string(r.role),
                                   toml_string(path_from(folder, device.candidate.path)));
    // create() makes files at that size.
    if (!device.candidate.block_device) text += fmt::format("size = {}\n", toml_size(device.bytes));
    return text;
}

std::string array_text(const SurveyedArray& array, const fs::path& folder) {
    const Superblock& s = array.superblock;
    std::string text = fmt::format(
        "# Made by `qlcshape devices` from the superblocks of array {}.\n"
        "[array]\nname = {}\ndata_strips = {}\nstrip = {}\nband = {}\noverprovision = {}\n\n"
        "# pmt_cache, cores and metrics are not on the drives: add them as they were.\n"
        "[engine]\nshards = {}\ngc_threads = {}\n",
        s.array.to_string(), toml_string(s.name), s.parameters.data_strips,
        toml_size(s.parameters.strip_bytes), toml_size(s.parameters.band_bytes),
        s.parameters.overprovision_ppm / 1e6, s.shards, s.parameters.max_gc_threads);
    for (const SurveyedMember& member : array.members) text += member_text(member, folder);
    return text;
}

Status write_new_file(const std::string& path, std::string_view text) {
    constexpr mode_t kMode = 0644;
    const int fd = ::open(path.c_str(), O_CLOEXEC | O_WRONLY | O_CREAT | O_EXCL, kMode);
    if (fd < 0 && errno == EEXIST)
        return fail(Errc::exists, "{}: exists already; choose another name", path);
    if (fd < 0) return fail(Errc::io_error, "{}: {}", path, std::strerror(errno));
    bool good = true;
    while (good && !text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        good = written > 0 || (written < 0 && errno == EINTR);
        if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
    }
    good = good && ::fsync(fd) == 0;
    const int why = errno;
    ::close(fd);
    if (good) return {};
    ::unlink(path.c_str());
    return fail(Errc::io_error, "{}: {}", path, std::strerror(why));
}

}  // namespace

Status write_array_file(const SurveyedArray& array, const std::string& path) {
    const fs::path folder = fs::absolute(path).lexically_normal().parent_path();
    for (const SurveyedMember& m : array.members) {
        if (m.devices.size() < 2) continue;
        return fail(
            Errc::invalid_argument,
            "{} and {} are the same member of array {} ({} drive {}): name only the right one",
            m.devices[0].candidate.path, m.devices[1].candidate.path, array.superblock.name,
            to_string(m.record.role), m.record.index);
    }
    for (const SurveyedMember& m : array.members) {
        if (!m.usable()) continue;
        const std::string name = path_from(folder, m.devices.front().candidate.path);
        if (is_utf8(name)) continue;
        return fail(Errc::invalid_argument,
                    "{}: its path is not UTF-8, which an array file must be; rename it, or name a "
                    "symbolic link to it whose path is UTF-8 (ln -s)",
                    name);
    }
    const std::string text = array_text(array, folder);
    if (const auto read = parse_array_file(text, path); !read)
        return fail(read.error().code, "this can't be written as an array file: {}",
                    read.error().message);
    return write_new_file(path, text);
}

}  // namespace qlcshape::tools
