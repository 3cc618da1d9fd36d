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
    std::filesystem::remove_all(folder);
}
