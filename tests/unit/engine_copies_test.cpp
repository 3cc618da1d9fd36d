// SPDX-License-Identifier: Apache-2.0
// Copies of an array: one UUID, other drives. What is asked of one must not reach the other.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "admin/holder.h"
#include "folder.h"
#include "test_array.h"

using namespace qlcshape;
namespace fs = std::filesystem;

namespace {

Options on_files(const fs::path& folder) {
    fs::create_directories(folder);
    return small_array((folder / "d").string());
}

std::unique_ptr<Engine> open_array(const Options& options) {
    auto engine = Engine::open(options);
    if (!engine) FAIL(engine.error().message);
    return *std::move(engine);
}

// prod, closed and with a volume, and a copy of it.
struct Copies {
    Folder folder;
    Options prod = on_files(folder.path / "prod");
    Options copy;
    Copies() {
        REQUIRE(Engine::create(prod));
        REQUIRE(open_array(prod)->create_volume("v0", MiB));
        copy = on_files(folder.path / "copy");
        for (std::size_t i = 0; i < prod.devices.size(); ++i)
            fs::copy_file(prod.devices[i].path, copy.devices[i].path);
    }
};

}  // namespace

TEST_CASE("copies: what is asked of a copy does not reach the array") {
    const Copies c;
    const auto prod = open_array(c.prod);
    REQUIRE(Holder::of(c.prod));
    CHECK(Holder::of(c.copy).error().code == Errc::not_found);
    const auto looked = Engine::inspect(c.copy);
    REQUIRE(looked);
    CHECK_FALSE(looked->live);
    // Both open at once, each asked by its own drives.
    const auto copy = open_array(c.copy);
    const auto holder = Holder::of(c.copy);
    REQUIRE(holder);
    CHECK(holder->process() == "this process");
    REQUIRE(holder->delete_volume("v0"));
    REQUIRE(Holder::of(c.prod)->resize_volume("v0", 2 * MiB));
    CHECK(copy->volumes().empty());
    REQUIRE(prod->volumes().size() == 1);
    CHECK(prod->volumes().front().bytes == 2 * MiB);
}

TEST_CASE("copies: the same drives by other paths are the same array") {
    const Copies c;
    Options links = on_files(c.folder.path / "links");
    for (std::size_t i = 0; i < links.devices.size(); ++i) {
        if (i % 2 == 0)
            fs::create_hard_link(c.prod.devices[i].path, links.devices[i].path);
        else
            fs::create_symlink(c.prod.devices[i].path, links.devices[i].path);
    }
    const auto prod = open_array(c.prod);
    const auto holder = Holder::of(links);
    REQUIRE(holder);
    REQUIRE(holder->create_volume("v1", MiB));
    CHECK(prod->volumes().size() == 2);
    // Any drive will do, and none need be readable.
    links.devices.erase(links.devices.begin(), links.devices.end() - 1);
    CHECK(Holder::of(links)->stats());
}

TEST_CASE("copies: drives of two copies in one array file") {
    const Copies c;
    Options mixed = c.prod;
    mixed.devices[2].path = c.copy.devices[2].path;
    const auto prod = open_array(c.prod);
    const auto refused = [&](const Status& status) {
        REQUIRE_FALSE(status);
        INFO(status.error().message);
        CHECK(status.error().code == Errc::foreign_device);
        CHECK(status.error().message.find(c.copy.devices[2].path) != std::string::npos);
    };
    const auto holder = Holder::of(mixed);
    REQUIRE(holder);
    refused(holder->delete_volume("v0"));
    refused(holder->create_volume("v1", MiB));
    const auto looked = Engine::inspect(mixed);
    REQUIRE_FALSE(looked);
    refused(std::unexpected(looked.error()));
    CHECK(prod->volumes().size() == 1);
}

TEST_CASE("copies: a drive that was missing when the array was opened may be named") {
    const Copies c;
    const fs::path away = c.prod.devices[1].path + ".away";
    fs::rename(c.prod.devices[1].path, away);
    const auto prod = open_array(c.prod);
    fs::rename(away, c.prod.devices[1].path);
    const auto looked = Engine::inspect(c.prod);
    REQUIRE(looked);
    CHECK(looked->live);
    Options mixed = c.prod;
    mixed.devices[2].path = c.copy.devices[2].path;
    CHECK(Engine::inspect(mixed).error().code == Errc::foreign_device);
}

TEST_CASE("copies: one file by two lines of the array file") {
    const Copies c;
    const std::string link = c.folder.path / "link";
    fs::create_hard_link(c.prod.devices[0].path, link);
    const std::string file = c.folder.path / "array.toml";
    {
        std::ofstream text(file);
        text << "[array]\ndata_strips = 2\n";
        for (const std::string& path : {c.prod.devices[0].path, c.prod.devices[1].path, link})
            text << "[[device]]\nrole = \"qlc\"\npath = \"" << path << "\"\n";
    }
    const auto options = Options::from_file(file);
    REQUIRE(options);
    for (const auto& refused : {Status(std::unexpected(Engine::open(*options).error())),
                                Engine::create(*options, true)}) {
        REQUIRE_FALSE(refused);
        const Error& error = refused.error();
        INFO(error.message);
        CHECK(error.code == Errc::duplicate_device);
        CHECK(error.message.starts_with(link + " (" + file + ":9)"));
        CHECK(error.message.find(c.prod.devices[0].path + " (" + file + ":3)") !=
              std::string::npos);
    }
}
