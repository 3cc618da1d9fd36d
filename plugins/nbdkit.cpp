// SPDX-License-Identifier: Apache-2.0
// The nbdkit plugin: volumes of one array as NBD exports of their names. The engine lives in
// nbdkit's process: opened after nbdkit has forked, since threads and rings don't survive that, and
// closed cleanly when the last connection is gone.
//
//   nbdkit -U SOCK nbdkit-qlcshape-plugin.so array=ARRAY.toml [volume=NAME...]
//
// Without names every volume that exists when a client connects.
//
// nbdkit calls from many threads at once, one for each request, and each waits in Volume::run().
// Writes are durable when they are acknowledged, so FUA costs nothing and a flush next to nothing.
#include <fmt/format.h>
#include <qlcshape/engine.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/printable.h"
#include "base/repeats.h"
#include "command_words.h"
#include "farewell.h"
#include "open_files.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

namespace {

using namespace qlcshape;

constexpr std::uint32_t kSectorBytes = 512;
constexpr std::uint32_t kMaxRequestBytes = 32 << 20;
// Blocks whose mapping one call of extents() looks up: 128 pages of the table.
constexpr std::uint32_t kMaxExtentBlocks = 65536;

std::string array_file;
std::vector<std::string> volume_names;  // those that clients may have; empty: all
std::uint64_t memory_bytes = 0;  // of each volume to make on memory devices; 0: they are there
Options options;
std::unique_ptr<Engine> engine;
std::unique_ptr<Farewell> farewell;
std::atomic<const Engine*> serving{nullptr};  // once it is open
bool close_failed = false;
Repeats repeats;
CommandWords words [[gnu::init_priority(200)]];

int errno_of(Errc code) {
    switch (code) {
        case Errc::invalid_argument:
            return EINVAL;
        case Errc::no_space:
            return ENOSPC;
        case Errc::read_only:
            return EROFS;
        case Errc::no_memory:
            return ENOMEM;
        case Errc::not_found:
        case Errc::closed:
            return ESHUTDOWN;
        default:
            return EIO;
    }
}

void print(const std::vector<LogLine>& lines) {
    for (const LogLine& line : lines) nbdkit_error("%s", line.text.c_str());
}

// What a client or the command names may have control characters: printable, as in all errors.
template <class... Arguments>
int complain(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    print(
        {{LogLevel::error, printable(fmt::format(format, std::forward<Arguments>(arguments)...))}});
    return -1;
}

int refuse(Errc code, const std::vector<LogLine>& lines) {
    print(lines);
    nbdkit_set_error(errno_of(code));
    return -1;
}

int report(const Status& status) {
    if (status) return 0;
    return refuse(status.error().code, {{LogLevel::error, status.error().message}});
}

// Of a request: when writing has ended all of them fail, as fast as clients send them.
int report_request(const Status& status) {
    if (status) return 0;
    const Error& error = status.error();
    return refuse(error.code, repeats.see(LogLevel::error, error.message, steady_seconds()));
}

// nbdkit tells plugins of -r only when a client connects, and of its files never; the C library
// gives a constructor the words of the command.
[[gnu::constructor]] void look_at_command(int argc, char** argv) {
    words = command_words(argc, argv);
}

// To nbdkit's own log, wherever that goes. Any thread.
void log_message(LogLevel level, const std::string& message) {
    if (level == LogLevel::info)
        nbdkit_debug("%s", message.c_str());
    else if (level == LogLevel::warning)
        nbdkit_error("warning: %s", message.c_str());
    else
        nbdkit_error("%s", message.c_str());
}

int config(const char* key, const char* value) {
    const std::string name = key;
    if (name == "volume") {
        volume_names.emplace_back(value);
    } else if (name == "array") {
        char* path = nbdkit_absolute_path(value);  // in the background nbdkit's folder is /
        if (path == nullptr) return -1;
        array_file = path;
        std::free(path);
    } else if (name == "memory") {
        const std::int64_t bytes = nbdkit_parse_size(value);
        if (bytes <= 0) return -1;
        memory_bytes = static_cast<std::uint64_t>(bytes);
    } else {
        return complain("unknown parameter '{}': known are array, volume and memory", key);
    }
    return 0;
}

// Checks what can be checked before nbdkit goes to the background.
int config_complete() {
    if (array_file.empty()) {
        nbdkit_error("array=ARRAY.toml must be given");
        return -1;
    }
    if (memory_bytes != 0 && volume_names.empty()) {
        nbdkit_error("memory= creates the volumes, so volume=NAME must be given");
        return -1;
    }
    auto read = Options::from_file(array_file);
    if (!read) return report(std::unexpected(read.error()));
    options = std::move(*read);
    options.read_only = words.read_only;
    // Not by its address: the type of a function pointer would be a symbol that the plugin shows.
    options.log = [](LogLevel level, const std::string& message) { log_message(level, message); };
    if (words.read_only && memory_bytes != 0) {
        nbdkit_error("memory= creates a new array, which can't be served read-only; leave out -r");
        return -1;
    }
    for (const DeviceOptions& device : options.all_named()) {
        if (memory_bytes == 0 || device.path.starts_with("memory:")) continue;
        return complain(
            "memory= creates a new array, so all devices must be memory:NAME; {} is not",
            device.path);
    }
    return 0;
}

// Before nbdkit goes to the background, where its exit code is no longer seen: checks everything
// that can be checked without changing anything.
int get_ready() {
    allow_most_files();
    if (report(check_open_files(options.devices.size())) != 0) return -1;
    if (memory_bytes != 0) return 0;
    const auto volumes = Engine::probe(options);
    if (!volumes) return report(std::unexpected(volumes.error()));
    for (const std::string& name : volume_names) {
        if (std::ranges::find(*volumes, name, &VolumeInfo::name) != volumes->end()) continue;
        return complain("volume {}: there is no volume with this name; see `qlcshape volume list`",
                        name);
    }
    return 0;
}

int open_engine() {
    if (memory_bytes != 0 && report(Engine::create(options)) != 0) return -1;
    auto opened = Engine::open(options);
    if (!opened) return report(std::unexpected(opened.error()));
    engine = std::move(*opened);
    for (const std::string& name : volume_names) {
        if (memory_bytes != 0 && report(engine->create_volume(name, memory_bytes)) != 0) return -1;
        if (auto found = engine->open_volume(name); !found)
            return report(std::unexpected(found.error()));
    }
    return report(check_open_files(0));
}

int after_fork() {
    // A limit on the size of files is then an error of the write, which names it.
    std::signal(SIGXFSZ, SIG_IGN);
    // In the background nobody else would, for who started it has heard that all was well.
    struct Files {
        bool wanted = false;
        ~Files() {
            if (!wanted) remove_left_files(words);
        }
    } files;
    farewell = std::make_unique<Farewell>(
        [] {
            const Engine* const open = serving;
            return open != nullptr && open->stats().state == "failed";
        },
        2 * std::chrono::milliseconds(options.io_timeout_ms));
    const int outcome = open_engine();
    files.wanted = outcome == 0;
    if (outcome == 0) {
        serving = engine.get();
    } else {
        farewell.reset();
        engine.reset();
    }
    return outcome;
}

void cleanup() {
    farewell.reset();
    print(repeats.rest(steady_seconds()));
    if (engine == nullptr) return;
    close_failed = report(engine->close()) != 0;
}

// nbdkit ignores the result of cleanup: its caller learns from the exit code that the array
// was not closed cleanly.
void unload() {
    if (close_failed) std::_Exit(EXIT_FAILURE);
}

// A volume that is not among them is not visible to clients.
std::vector<std::string> served_names() {
    if (!volume_names.empty()) return volume_names;
    std::vector<std::string> names;
    for (VolumeInfo& volume : engine->volumes()) names.push_back(std::move(volume.name));
    return names;
}

// For a client that names none: the first `volume=`, or the only volume.
std::string default_name() {
    const std::vector<std::string> names = served_names();
    return !volume_names.empty() || names.size() == 1 ? names.front() : "";
}

int list_exports(int, int, nbdkit_exports* exports) {
    for (const std::string& name : served_names()) {
        if (nbdkit_add_export(exports, name.c_str(), nullptr) != 0) return -1;
    }
    return 0;
}

const char* default_export(int, int) { return nbdkit_strdup_intern(default_name().c_str()); }

// Clients that were sent away come again: as often as they like.
int preconnect(int) { return report_request(check_room_for_client()); }

void* open_connection(int) {
    const char* const wanted = nbdkit_export_name();
    const std::string name = wanted == nullptr || *wanted == 0 ? default_name() : wanted;
    if (name.empty()) {
        nbdkit_error("there is no default: a client must name its volume");
        return nullptr;
    }
    const std::vector<std::string> names = served_names();
    if (std::ranges::find(names, name) == names.end()) {
        complain("volume {} is not served here", name);
        return nullptr;
    }
    auto found = engine->open_volume(name);
    if (found) return new Volume(std::move(*found));
    report(std::unexpected(found.error()));
    return nullptr;
}

void close_connection(void* handle) { delete static_cast<Volume*>(handle); }
const Volume& volume_of(void* handle) { return *static_cast<Volume*>(handle); }

int yes(void*) { return 1; }
int no(void*) { return 0; }
std::int64_t get_size(void* handle) {
    return static_cast<std::int64_t>(volume_of(handle).size_bytes());
}
int can_write(void*) { return engine->read_only() ? 0 : 1; }
int can_fua(void*) { return NBDKIT_FUA_NATIVE; }

int block_size(void*, std::uint32_t* minimum, std::uint32_t* preferred, std::uint32_t* maximum) {
    *minimum = kSectorBytes;
    *preferred = kVolumeBlockBytes;
    *maximum = kMaxRequestBytes;
    return 0;
}

int pread(void* handle, void* data, std::uint32_t bytes, std::uint64_t offset, std::uint32_t) {
    return report_request(volume_of(handle).run(Op::read, offset, bytes, data));
}

int pwrite(void* handle, const void* data, std::uint32_t bytes, std::uint64_t offset,
           std::uint32_t) {
    return report_request(volume_of(handle).run(Op::write, offset, bytes, const_cast<void*>(data)));
}

int flush(void* handle, std::uint32_t) { return report_request(volume_of(handle).flush()); }

int trim(void* handle, std::uint32_t bytes, std::uint64_t offset, std::uint32_t) {
    return report_request(volume_of(handle).run(Op::trim, offset, bytes, nullptr));
}

// Always by trimming, MAY_TRIM or not: space for the volume stays promised, so a later write finds
// room. That is also why it is fast.
int zero(void* handle, std::uint32_t bytes, std::uint64_t offset, std::uint32_t) {
    return report_request(volume_of(handle).run(Op::write_zeroes, offset, bytes, nullptr));
}

int extents(void* handle, std::uint32_t bytes, std::uint64_t offset, std::uint32_t flags,
            nbdkit_extents* list) {
    const std::uint64_t first = offset / kVolumeBlockBytes;
    const std::uint64_t last = (offset + bytes + kVolumeBlockBytes - 1) / kVolumeBlockBytes;
    std::vector<std::uint8_t> mapped(std::min<std::uint64_t>(last - first, kMaxExtentBlocks));
    if (report_request(volume_of(handle).mapped(first, mapped)) != 0) return -1;
    for (std::size_t from = 0, to; from < mapped.size(); from = to) {
        for (to = from; to < mapped.size() && mapped[to] == mapped[from]; ++to) {
        }
        const std::uint32_t type = mapped[from] != 0 ? 0 : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
        if (nbdkit_add_extent(list, (first + from) * kVolumeBlockBytes,
                              (to - from) * kVolumeBlockBytes, type) != 0) {
            return -1;
        }
        if ((flags & NBDKIT_FLAG_REQ_ONE) != 0) break;
    }
    return 0;
}

// nbdkit is C: no exception may get there. What can still throw is the standard library, out of
// memory or threads.
template <auto callback>
struct Guard;
template <class Outcome, class... Arguments, Outcome (*callback)(Arguments...)>
struct Guard<callback> {
    static Outcome call(Arguments... arguments) noexcept {
        try {
            return callback(arguments...);
        } catch (const std::exception& error) {
            nbdkit_error(
                "%s: out of memory or threads; raise the limit (ulimit "
                "-v, ulimit -u), or lower pmt_cache in the array file",
                error.what());
            nbdkit_set_error(ENOMEM);
        }
        if constexpr (std::is_pointer_v<Outcome>)
            return nullptr;
        else if constexpr (!std::is_void_v<Outcome>)
            return -1;
    }
};

nbdkit_plugin make_plugin() {
    nbdkit_plugin p{};
    p.name = "qlcshape";
    p.longname = "qlcshape volume";
    p.description = "A volume of a write-shaping array of QLC flash";
    p.config_help =
        "array=ARRAY.toml   (required) The array file.\n"
        "volume=NAME        A volume to export, can be repeated. Default: all.\n"
        "memory=SIZE        Create array and volumes first, on memory devices.";
    p.magic_config_key = "array";
    p.config = Guard<config>::call;
    p.config_complete = Guard<config_complete>::call;
    p.get_ready = Guard<get_ready>::call;
    p.after_fork = Guard<after_fork>::call;
    p.cleanup = Guard<cleanup>::call;
    p.unload = Guard<unload>::call;
    p.list_exports = Guard<list_exports>::call;
    p.default_export = Guard<default_export>::call;
    p.preconnect = Guard<preconnect>::call;
    p.open = Guard<open_connection>::call;
    p.close = Guard<close_connection>::call;
    p.get_size = Guard<get_size>::call;
    p.block_size = Guard<block_size>::call;
    p.can_write = Guard<can_write>::call;
    p.can_flush = yes;
    p.can_fua = Guard<can_fua>::call;
    p.can_multi_conn = yes;
    p.is_rotational = no;
    p.can_trim = yes;
    p.can_zero = yes;
    p.can_fast_zero = yes;
    p.can_extents = yes;
    p.pread = Guard<pread>::call;
    p.pwrite = Guard<pwrite>::call;
    p.flush = Guard<flush>::call;
    p.trim = Guard<trim>::call;
    p.zero = Guard<zero>::call;
    p.extents = Guard<extents>::call;
    return p;
}

nbdkit_plugin plugin = make_plugin();

}  // namespace

NBDKIT_REGISTER_PLUGIN(plugin)
