// SPDX-License-Identifier: Apache-2.0
// What can't become an array is refused with the key or the drive named, and leaves files as they
// were.
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "base/types.h"
#include "test_array.h"

using namespace qlcshape;
namespace fs = std::filesystem;

namespace {

struct Plan {
    std::string folder = fs::temp_directory_path() / "qlcshape-create-XXXXXX";
    Options options;

    Plan() {
        REQUIRE(::mkdtemp(folder.data()) != nullptr);
        options = small_array(folder + "/");
    }
    ~Plan() { fs::remove_all(folder); }

    std::map<std::string, std::uint64_t> files() const {
        std::map<std::string, std::uint64_t> all;
        for (const auto& entry : fs::directory_iterator(folder))
            all[entry.path().filename()] = entry.file_size();
        return all;
    }

    // Its message has the word, and the files are as they were.
    void refuses(const std::string& word) const {
        const auto before = files();
        const Status created = Engine::create(options);
        REQUIRE_FALSE(created);
        INFO(created.error().message);
        CHECK(created.error().message.find(word) != std::string::npos);
        CHECK(files() == before);
    }
};

void write_file(const std::string& path, std::uint64_t bytes) {
    std::ofstream(path) << std::string(bytes, 'x');
}

}  // namespace

TEST_CASE("create: extreme keys are refused by name, before a file is made") {
    const struct {
        const char* word;
        std::function<void(Options&)> set;
    } kCases[] = {
        {"data_strips", [](Options& o) { o.data_strips = 0; }},
        {"data_strips", [](Options& o) { o.data_strips = UINT32_MAX; }},
        {"strip", [](Options& o) { o.strip_bytes = 0; }},
        {"strip", [](Options& o) { o.strip_bytes = std::uint64_t{1} << 62; }},
        {"band", [](Options& o) { o.band_bytes = 1; }},
        {"at least", [](Options& o) { o.devices[0].size_bytes = 1; }},
        {"4 KiB", [](Options& o) { o.devices[0].size_bytes += 512; }},
        {"too large",
         [](Options& o) {
             for (DeviceOptions& d : o.devices) d.size_bytes = INT64_MAX;
         }},
        {"band is 4 EiB", [](Options& o) { o.band_bytes = (std::uint64_t{1} << 62); }},
        {"overprovision", [](Options& o) { o.overprovision = 0; }},
        {"overprovision", [](Options& o) { o.overprovision = 1e300; }},
        {"overprovision", [](Options& o) { o.overprovision = -1; }},
        {"shards", [](Options& o) { o.shards = 0; }},
        {"shards", [](Options& o) { o.shards = UINT32_MAX; }},
        {"gc_threads", [](Options& o) { o.gc_threads = 0; }},
        {"gc_threads", [](Options& o) { o.gc_threads = UINT32_MAX; }},
        {"pmt_cache", [](Options& o) { o.pmt_cache_bytes = 0; }},
        {"pmt_cache", [](Options& o) { o.pmt_cache_bytes = UINT64_MAX; }},
        {"core 4000000000", [](Options& o) { o.cores = {4000000000}; }},
        {"core 0 twice",
         [](Options& o) {
             o.cores = {0, 0};
         }},
        {"array name", [](Options& o) { o.name = ""; }},
        {"array name", [](Options& o) { o.name = std::string(5000, 'n'); }},
        {"control character", [](Options& o) { o.name = "a\nb"; }},
        {"NUL", [](Options& o) { o.devices[1].path += std::string("\0x", 2); }},
        {"qlc", [](Options& o) { o.devices.clear(); }},
        {"same file", [](Options& o) { o.devices[5].path = o.devices[4].path; }},
    };
    for (const auto& c : kCases) {
        Plan plan;
        c.set(plan.options);
        INFO(c.word);
        plan.refuses(c.word);
    }
}

TEST_CASE("create: what it made before it was refused is gone again") {
    Plan plan;
    write_file(plan.options.devices[5].path, 16 * MiB);  // holds data
    plan.refuses("--force");
    fs::remove(plan.options.devices[5].path);
    // It would be made larger.
    write_file(plan.options.devices[0].path, 0);
    write_file(plan.options.devices[1].path, 8 * KiB);
    plan.refuses("--force");
    fs::remove(plan.options.devices[1].path);
    plan.options.devices[5].path = plan.folder + "/none/5";
    plan.refuses("folder");
    plan.options.devices[5].path = plan.folder + "/5";
    CHECK(Engine::create(plan.options));
    CHECK(plan.files()["0"] == 40 * MiB);
    CHECK(plan.files().size() == 6);
}

TEST_CASE("create: names of volumes that are no names of files or look like options") {
    Plan plan;
    REQUIRE(Engine::create(plan.options));
    auto engine = Engine::open(plan.options);
    REQUIRE(engine);
    for (const char* const name : {"", ".", "..", "-v", "a/b", "a b", "a\n"}) {
        INFO(name);
        const Status made = (*engine)->create_volume(name, MiB);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == Errc::invalid_argument);
    }
    CHECK((*engine)->create_volume("...", MiB));
    CHECK((*engine)->create_volume(".v-", MiB));
}

TEST_CASE("open: cores that are not there are refused") {
    Plan plan;
    REQUIRE(Engine::create(plan.options));
    plan.options.cores = {4000000000};
    const auto opened = Engine::open(plan.options);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().message.find("core 4000000000") != std::string::npos);
    plan.options.cores = {0};
    CHECK(Engine::open(plan.options));
}

TEST_CASE("create: a limit on the size of files is an error, and leaves no file behind") {
    const Plan plan;
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit low{MiB, before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // as the programs do
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
    plan.refuses(plan.folder + "/0");
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(plan.files().empty());
}
