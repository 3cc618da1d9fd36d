// The array file: TOML -> Options. Every key has one reader here; a key that none of them knows is
// an error that names it and its line.

// Debian's CMake target chooses the shared library; as headers alone, nothing of toml++ is left to
// link for users of ours.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <fcntl.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/types.h"
#include "qlcshape/options.h"

namespace qlcshape {

namespace {

constexpr std::string_view kMemoryPrefix = "memory:";
constexpr std::string_view kSizeHelp =
    "a number of bytes with B, KiB, MiB, GiB or TiB, as \"128KiB\"";

std::string join(std::initializer_list<std::string_view> words) {
    std::string all;
    for (const std::string_view word : words) all += (all.empty() ? "" : ", ") + std::string(word);
    return all;
}

const char* name_of(toml::node_type type) {
    switch (type) {
        case toml::node_type::none:
            return "nothing";
        case toml::node_type::table:
            return "a table";
        case toml::node_type::array:
            return "a list";
        case toml::node_type::string:
            return "a string";
        case toml::node_type::integer:
            return "an integer";
        case toml::node_type::floating_point:
            return "a number with a fraction";
        case toml::node_type::boolean:
            return "a boolean";
        default:
            return "a date or time";
    }
}

// One table of the file, with what an error message needs to say where it is.
class Section {
  public:
    Section(const std::string& file, std::string title, const toml::table& table)
        : file_(file), title_(std::move(title)), table_(table) {}

    std::string at(const toml::node& node) const {
        return fmt::format("{}:{}", file_, node.source().begin.line);
    }
    std::string here() const { return at(table_); }
    const toml::node* find(std::string_view key) const { return table_.get(key); }

    Status only(std::initializer_list<std::string_view> known) const {
        for (const auto& [key, node] : table_) {
            if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
            return fail(Errc::invalid_argument, "{}:{}: unknown key \"{}\" in {}; known are {}",
                        file_, key.source().begin.line, key.str(), title_, join(known));
        }
        return {};
    }

    Status read(std::string_view key, std::string& into) const {
        const toml::node* node = find(key);
        if (node == nullptr) return {};
        if (!node->is_string()) return wrong(key, *node, "a string");
        into = **node->as_string();
        return {};
    }

    Status read_size(std::string_view key, std::uint64_t& into) const {
        const toml::node* node = find(key);
        if (node == nullptr) return {};
        if (const auto* integer = node->as_integer(); integer != nullptr && **integer >= 0) {
            into = static_cast<std::uint64_t>(**integer);
            return {};
        }
        if (!node->is_string()) return wrong(key, *node, kSizeHelp);
        const Result<std::uint64_t> bytes = parse_size(**node->as_string());
        if (!bytes)
            return fail(bytes.error().code, "{}: {}: {}", at(*node), key, bytes.error().message);
        into = *bytes;
        return {};
    }

    Status read(std::string_view key, std::uint32_t& into) const {
        const toml::node* node = find(key);
        if (node == nullptr) return {};
        const std::optional<std::uint32_t> number = small(*node);
        if (!number) return wrong(key, *node, "an integer from 0 to 4294967295");
        into = *number;
        return {};
    }

    Status read(std::string_view key, double& into) const {
        const toml::node* node = find(key);
        if (node == nullptr) return {};
        const std::optional<double> number = node->value<double>();
        if (!number || !std::isfinite(*number)) return wrong(key, *node, "a number, as 0.20");
        into = *number;
        return {};
    }

    Status read(std::string_view key, std::vector<std::uint32_t>& into) const {
        const toml::node* node = find(key);
        if (node == nullptr) return {};
        if (!node->is_array()) return wrong(key, *node, "a list of integers, as [0, 1]");
        into.clear();
        for (const toml::node& element : *node->as_array()) {
            const std::optional<std::uint32_t> number = small(element);
            if (!number) return wrong(key, element, "a list of integers, as [0, 1]");
            into.push_back(*number);
        }
        return {};
    }

    std::unexpected<Error> wrong(std::string_view key, const toml::node& node,
                                 std::string_view wanted) const {
        return fail(Errc::invalid_argument, "{}: {} in {} is {}: it must be {}", at(node), key,
                    title_, name_of(node.type()), wanted);
    }

  private:
    static std::optional<std::uint32_t> small(const toml::node& node) {
        const auto* integer = node.as_integer();
        if (integer == nullptr || **integer < 0) return {};
        if (**integer > std::numeric_limits<std::uint32_t>::max()) return {};
        return static_cast<std::uint32_t>(**integer);
    }

    const std::string& file_;
    std::string title_;
    const toml::table& table_;
};

Status read_array(const Section& section, Options& options) {
    QS_TRY(section.only({"name", "data_strips", "strip", "band", "overprovision"}));
    QS_TRY(section.read("name", options.name));
    QS_TRY(section.read("data_strips", options.data_strips));
    QS_TRY(section.read_size("strip", options.strip_bytes));
    QS_TRY(section.read_size("band", options.band_bytes));
    return section.read("overprovision", options.overprovision);
}

Status read_engine(const Section& section, Options& options) {
    QS_TRY(section.only({"shards", "cores", "gc_threads", "pmt_cache"}));
    QS_TRY(section.read("shards", options.shards));
    QS_TRY(section.read("cores", options.cores));
    QS_TRY(section.read("gc_threads", options.gc_threads));
    QS_TRY(section.read_size("pmt_cache", options.pmt_cache_bytes));
    if (!options.cores.empty() && options.cores.size() < options.shards) {
        return fail(
            Errc::invalid_argument,
            "{}: cores names {} cores for {} shards: name one for each shard, or leave it out",
            section.at(*section.find("cores")), options.cores.size(), options.shards);
    }
    return {};
}

Status read_device(const Section& section, const std::filesystem::path& folder, Options& options) {
    QS_TRY(section.only({"role", "path", "size"}));
    DeviceOptions device;
    std::string role;
    QS_TRY(section.read("role", role));
    if (role == "qlc") {
        device.role = Role::qlc;
    } else if (role == "scm") {
        device.role = Role::scm;
    } else if (role == "spare") {
        device.role = Role::spare;
    } else {
        return fail(Errc::invalid_argument, "{}: role {}: it must be \"qlc\", \"scm\" or \"spare\"",
                    section.find("role") ? section.at(*section.find("role")) : section.here(),
                    role.empty() ? "is missing" : "is \"" + role + "\"");
    }
    QS_TRY(section.read("path", device.path));
    if (device.path.empty()) {
        return fail(Errc::invalid_argument,
                    "{}: path is missing: give a file, a block device or \"memory:NAME\"",
                    section.here());
    }
    if (!device.path.starts_with(kMemoryPrefix)) {
        device.path = (folder / device.path).lexically_normal().string();
    }
    QS_TRY(section.read_size("size", device.size_bytes));
    for (const DeviceOptions& other : options.devices) {
        if (other.path != device.path) continue;
        return fail(Errc::invalid_argument,
                    "{}: {} is already a device of this file: give each its own",
                    section.at(*section.find("path")), device.path);
    }
    options.devices.push_back(std::move(device));
    return {};
}

Result<const toml::table*> table_of(const Section& root, std::string_view key) {
    const toml::node* node = root.find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) return root.wrong(key, *node, fmt::format("a table: [{}]", key));
    return node->as_table();
}

Status read_devices(const Section& root, const std::string& file,
                    const std::filesystem::path& folder, Options& options) {
    const toml::node* node = root.find("device");
    if (node == nullptr) {
        return fail(Errc::invalid_argument,
                    "{}: no devices: add a [[device]] with role, path and size for each drive",
                    file);
    }
    if (!node->is_array())
        return root.wrong("device", *node, "a list: write [[device]], doubly bracketed");
    for (const toml::node& element : *node->as_array()) {
        if (!element.is_table())
            return root.wrong("device", element, "a list of tables: [[device]]");
        QS_TRY(read_device(Section(file, "[[device]]", *element.as_table()), folder, options));
    }
    return {};
}

// 0 where that can't be found out; create() then says so.
std::uint64_t size_of(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ::off_t end = ::lseek(fd, 0, SEEK_END);
    ::close(fd);
    return end < 0 ? 0 : static_cast<std::uint64_t>(end);
}

}  // namespace

Result<Options> Options::from_file(const std::string& path) {
    std::error_code missing;
    if (!std::filesystem::is_regular_file(path, missing)) {
        return fail(Errc::not_found, "{}: {}: give the path of an array file", path,
                    missing ? missing.message() : "not a file");
    }
    const toml::parse_result parsed = toml::parse_file(path);
    if (!parsed) {
        return fail(Errc::invalid_argument, "{}:{}: not TOML: {}", path,
                    parsed.error().source().begin.line, parsed.error().description());
    }
    Options options;
    const Section root(path, "the array file", parsed.table());
    QS_TRY(root.only({"array", "engine", "device"}));
    const auto array = table_of(root, "array");
    if (!array) return fail(array.error());
    if (*array != nullptr) QS_TRY(read_array(Section(path, "[array]", **array), options));
    const auto engine = table_of(root, "engine");
    if (!engine) return fail(engine.error());
    if (*engine != nullptr) QS_TRY(read_engine(Section(path, "[engine]", **engine), options));
    QS_TRY(read_devices(root, path, std::filesystem::path(path).parent_path(), options));
    return options;
}

Options Options::on_memory(const std::string& prefix) const {
    Options copy = *this;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        DeviceOptions& device = copy.devices[i];
        if (device.size_bytes == 0) device.size_bytes = size_of(device.path);
        device.path = fmt::format("{}{}{}", kMemoryPrefix, prefix, i);
    }
    return copy;
}

Result<std::uint64_t> parse_size(const std::string& text) {
    struct Unit {
        std::string_view name;
        std::uint64_t bytes;
    };
    static constexpr std::array<Unit, 6> kUnits{
        {{"", 1}, {"B", 1}, {"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}, {"TiB", TiB}}};

    std::uint64_t number = 0;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, number);
    std::string_view unit(end, static_cast<std::size_t>(last - end));
    while (unit.starts_with(' ')) unit.remove_prefix(1);
    for (const Unit& known : kUnits) {
        if (error != std::errc() || unit != known.name) continue;
        if (number > std::numeric_limits<std::uint64_t>::max() / known.bytes) break;
        return number * known.bytes;
    }
    return fail(Errc::invalid_argument, "\"{}\" is not a size: give {}", text, kSizeHelp);
}

}  // namespace qlcshape
