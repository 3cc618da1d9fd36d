// SPDX-License-Identifier: Apache-2.0
// The metrics file is replaced each second and removed in the end: it must be none that matters.
#include <filesystem>
#include <fstream>

#include "test_array.h"

using namespace qlcshape;

TEST_CASE("metrics: a file that holds something else is refused, and stays as it was") {
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / "qlcshape_metrics_path_test";
    std::filesystem::create_directories(folder);
    TestArray array("metrics_path", folder.string() + "/");
    const std::string drive = array.options.devices.back().path;
    const std::string other = (folder / "other").string();
    std::ofstream(other) << "precious";
    std::filesystem::create_hard_link(drive, folder / "link");
    for (const std::string& path : {drive, other, (folder / "link").string(), folder.string()}) {
        CAPTURE(path);
        array.options.metrics_path = path;
        const auto opened = Engine::open(array.options);
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == Errc::invalid_argument);
        CHECK(opened.error().message.find(path) != std::string::npos);
        CHECK_FALSE(Engine::create(array.options, true));
        CHECK_FALSE(Engine::probe(array.options));
    }
    CHECK(std::filesystem::file_size(other) == 8);
    CHECK(std::filesystem::file_size(drive) == 16 * MiB);
    // One that is there from a process that was killed is taken.
    array.options.metrics_path = (folder / "metrics").string();
    std::ofstream(array.options.metrics_path) << "# HELP qlcshape_something\n";
    array.use([](Engine&) {});
    // The name under which it is written: neither overwritten nor followed.
    const std::string fresh = array.options.metrics_path + ".new";
    const auto precious = folder / "precious";
    std::ofstream(precious) << "precious";
    SECTION("a file is there") { std::ofstream(fresh) << "precious"; }
    SECTION("a link is there") { std::filesystem::create_symlink(precious, fresh); }
    SECTION("a folder is there") { std::filesystem::create_directory(fresh); }
    const auto refused = Engine::open(array.options);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find(fresh + " is there") != std::string::npos);
    std::filesystem::remove(fresh);
    std::string said;
    array.options.log = [&](LogLevel level, const std::string& text) {
        if (level == LogLevel::warning) said += text;
    };
    array.use([&](Engine& e) {
        std::filesystem::create_symlink(precious, fresh);
        REQUIRE(e.create_volume("v", MiB));
    });
    CHECK(said.find("something else is there") != std::string::npos);
    CHECK(std::filesystem::file_size(precious) == 8);
    std::filesystem::remove_all(folder);
}
