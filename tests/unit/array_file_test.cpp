// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "qlcshape/options.h"

using namespace qlcshape;

namespace {

// A file that is gone when the test is.
class ArrayFile {
  public:
    explicit ArrayFile(const std::string& text) {
        std::string name =
            (std::filesystem::temp_directory_path() / "qlcshape-array-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        std::ofstream(path()) << text;
    }
    ~ArrayFile() { std::filesystem::remove_all(folder_); }
    std::string path() const { return (folder_ / "array.toml").string(); }
    const std::filesystem::path& folder() const { return folder_; }

  private:
    std::filesystem::path folder_;
};

std::string error_of(const std::string& text) {
    const ArrayFile file(text);
    const Result<Options> options = Options::from_file(file.path());
    REQUIRE_FALSE(options);
    CHECK(options.error().code == Errc::invalid_argument);
    CHECK(options.error().message.starts_with(file.path()));
    return options.error().message.substr(file.path().size());
}

const std::string kDevice = "[[device]]\nrole = \"qlc\"\npath = \"q0.img\"\n";

}  // namespace

TEST_CASE("array file: sizes are bytes with a binary unit") {
    CHECK(parse_size("4096").value() == 4096);
    CHECK(parse_size("0").value() == 0);
    CHECK(parse_size("512B").value() == 512);
    CHECK(parse_size("128KiB").value() == 128 * 1024);
    CHECK(parse_size("16 MiB").value() == 16 << 20);
    CHECK(parse_size("2GiB").value() == std::uint64_t{2} << 30);
    CHECK(parse_size("30TiB").value() == std::uint64_t{30} << 40);
    CHECK(parse_size("9223372036854775807").value() == std::numeric_limits<std::int64_t>::max());
    CHECK(parse_size("8388607TiB").value() == std::uint64_t{8388607} << 40);
    for (const char* bad :
         {"", "KiB", "1.5GiB", "-1", "4k", "4kib", "4KB", "1GiB ", "0x10", " 1"}) {
        INFO(bad);
        REQUIRE_FALSE(parse_size(bad));
        CHECK(parse_size(bad).error().code == Errc::invalid_argument);
        CHECK(parse_size(bad).error().message.find(bad) != std::string::npos);
        CHECK(parse_size(bad).error().message.find("is not a size") != std::string::npos);
    }
    for (const char* large : {"9223372036854775808", "18446744073709551616", "8388608TiB",
                              "16777216TiB", "99999999999999TiB", "99999999999999999999999 MiB"}) {
        INFO(large);
        REQUIRE_FALSE(parse_size(large));
        CHECK(parse_size(large).error().code == Errc::invalid_argument);
        CHECK(parse_size(large).error().message ==
              "\"" + std::string(large) +
                  "\" is too large: a size is less than 8388608 TiB (8 EiB)");
    }
}

TEST_CASE("array file: every key arrives") {
    const ArrayFile file(R"(
[array]
name = "demo"
data_strips = 4
strip = "64KiB"
band = "16MiB"
overprovision = 0.25

[engine]
shards = 2
cores = [0, 3]
gc_threads = 2
pmt_cache = "1MiB"

[[device]]
role = "qlc"
path = "sub/../qlc0.img"
size = "2GiB"

[[device]]
role = "scm"
path = "/dev/nvme9n1"

[[device]]
role = "spare"
path = "memory:s"
size = 65536
)");
    const Result<Options> options = Options::from_file(file.path());
    REQUIRE(options);
    CHECK(options->name == "demo");
    CHECK(options->data_strips == 4);
    CHECK(options->strip_bytes == 64 << 10);
    CHECK(options->band_bytes == 16 << 20);
    CHECK(options->overprovision == Approx(0.25));
    CHECK(options->shards == 2);
    CHECK(options->cores == std::vector<std::uint32_t>{0, 3});
    CHECK(options->gc_threads == 2);
    CHECK(options->pmt_cache_bytes == 1 << 20);
    REQUIRE(options->devices.size() == 2);
    CHECK(options->devices[0].role == Role::qlc);
    CHECK(options->devices[0].path == (file.folder() / "qlc0.img").string());
    CHECK(options->devices[0].size_bytes == std::uint64_t{2} << 30);
    CHECK(options->devices[1].role == Role::scm);
    CHECK(options->devices[1].path == "/dev/nvme9n1");
    CHECK(options->devices[1].size_bytes == 0);
    REQUIRE(options->spares.size() == 1);
    CHECK(options->spares[0].path == "memory:s");
    CHECK(options->spares[0].size_bytes == 65536);
}

TEST_CASE("array file: what is left out has its default") {
    const ArrayFile file(kDevice);
    const Result<Options> options = Options::from_file(file.path());
    REQUIRE(options);
    const Options defaults;
    CHECK(options->name == defaults.name);
    CHECK(options->data_strips == defaults.data_strips);
    CHECK(options->strip_bytes == defaults.strip_bytes);
    CHECK(options->band_bytes == 0);
    CHECK(options->shards == 1);
    CHECK(options->cores.empty());
    CHECK_FALSE(options->read_only);
}

TEST_CASE("array file: an unknown key is named with its line") {
    CHECK(error_of("[array]\nname = \"a\"\nbnad = \"1MiB\"\n" + kDevice) ==
          ":3: unknown key \"bnad\" in [array]; known are name, data_strips, strip, band, "
          "overprovision, pmt_copies, spare_drives");
    CHECK(error_of("[engine]\nthreads = 1\n" + kDevice).starts_with(":2: unknown key \"threads\""));
    CHECK(error_of(kDevice + "sizes = 1\n").starts_with(":4: unknown key \"sizes\" in [[device]]"));
    CHECK(error_of("name = \"a\"\n" + kDevice).starts_with(":1: unknown key \"name\""));
}

TEST_CASE("array file: a value of the wrong kind is named with its line") {
    CHECK(error_of("[array]\nname = 1\n" + kDevice) ==
          ":2: name in [array] is an integer: it must be a string");
    CHECK(error_of("[array]\nstrip = \"128KB\"\n" + kDevice)
              .starts_with(":2: strip: \"128KB\" is not a size"));
    CHECK(error_of("[array]\nband = -1\n" + kDevice).starts_with(":2: band in [array]"));
    CHECK(error_of("[array]\noverprovision = nan\n" + kDevice).starts_with(":2: overprovision"));
    CHECK(error_of("[engine]\nshards = -1\n" + kDevice).starts_with(":2: shards"));
    CHECK(error_of("[engine]\nshards = 4294967296\n" + kDevice).starts_with(":2: shards"));
    CHECK(error_of("[engine]\ncores = [0, \"1\"]\n" + kDevice).starts_with(":2: cores"));
    CHECK(error_of("[engine]\nshards = 2\ncores = [0]\n" + kDevice)
              .starts_with(":3: cores has 1 entries"));
    CHECK(error_of("array = 3\n" + kDevice).starts_with(":1: array in the array file"));
    CHECK(error_of("[device]\nrole = \"qlc\"\n").starts_with(":1: device in the array file"));
    CHECK(error_of("device = [1]\n").starts_with(":1: device"));
}

TEST_CASE("array file: devices need a role and a path of their own") {
    CHECK(error_of("[array]\n").starts_with(": no devices"));
    CHECK(error_of("[[device]]\npath = \"q\"\n").starts_with(":1: role is missing"));
    CHECK(
        error_of("[[device]]\nrole = \"ssd\"\npath = \"q\"\n").starts_with(":2: role is \"ssd\""));
    CHECK(error_of("[[device]]\nrole = \"qlc\"\n").starts_with(":1: path is missing"));
    CHECK(error_of(kDevice + kDevice).find("q0.img is already the device at") != std::string::npos);
}

TEST_CASE("array file: a file that is no TOML, or no file") {
    CHECK(error_of("[array\n").starts_with(":1: not TOML: "));
    CHECK(error_of("[array]\nname = \"a\"\nname = \"b\"\n").starts_with(":3: not TOML: "));
    const Result<Options> none = Options::from_file("/nonexistent/array.toml");
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Errc::not_found);
    CHECK(none.error().message.starts_with("/nonexistent/array.toml: "));
    REQUIRE_FALSE(Options::from_file("/tmp"));
}

// Where toml++ 3.3 as it is stops the process, or goes on at random.
TEST_CASE("array file: characters that its parser can't bear") {
    using namespace std::string_literals;
    const std::string odd[] = {"\0"s,           "#"s,           "="s, "\x1f"s, "\x7f"s, "\xCE\x88"s,
                               "\xEF\xAC\xA6"s, "\xEF\xBB\xBE"s};
    for (const std::string& c : odd) {
        CHECK(error_of("\n[" + c + "a]\n" + kDevice).starts_with(":2: not TOML"));
        CHECK(error_of("\nK" + c + "B").starts_with(":2: not TOML"));
    }
    const ArrayFile file("[array] # \xCE\x88\r\n\tname = \"\"\"\\\n \xCE\x88\"\"\"\n" + kDevice);
    CHECK(Options::from_file(file.path())->name == "\xCE\x88");
}

TEST_CASE("array file: the same array on memory") {
    const ArrayFile file(kDevice + "[[device]]\nrole = \"scm\"\npath = \"s\"\nsize = \"1MiB\"\n");
    std::ofstream(file.folder() / "q0.img") << "12345678";
    const Options memory = Options::from_file(file.path())->on_memory("b");
    REQUIRE(memory.devices.size() == 2);
    CHECK(memory.devices[0].path == "memory:b0");
    CHECK(memory.devices[0].size_bytes == 8);  // what the file has
    CHECK(memory.devices[1].path == "memory:b1");
    CHECK(memory.devices[1].size_bytes == 1 << 20);
    CHECK(memory.devices[1].role == Role::scm);
}
