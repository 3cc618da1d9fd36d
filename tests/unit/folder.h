// SPDX-License-Identifier: Apache-2.0
// A folder of its own that is gone when the test is.
#pragma once

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

namespace qlcshape {

struct Folder {
    std::filesystem::path path;

    Folder() {
        std::string name = std::filesystem::temp_directory_path() / "qlcshape-test-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string file(const std::string& name) const { return (path / name).string(); }
};

}  // namespace qlcshape
