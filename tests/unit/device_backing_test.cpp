// SPDX-License-Identifier: Apache-2.0
// What lies under block devices, by a made /sys, and the locks on it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/types.h"
#include "device/backing.h"
#include "device/device.h"

using namespace qlcshape;
namespace fs = std::filesystem;

namespace {

// Block devices under a folder that is laid out as /sys is.
class Sysfs {
  public:
    Sysfs() {
        std::string name = (fs::temp_directory_path() / "qlcshape-sysfs-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        root_ = name;
        fs::create_directories(root_ / "dev/block");
        fs::create_directories(root_ / "block");
    }
    ~Sysfs() { fs::remove_all(root_); }

    std::string root() const { return root_.string(); }

    std::string make_file(const std::string& name, std::uint64_t bytes) const {
        const std::string path = (root_ / name).string();
        std::ofstream(path).put('x');
        fs::resize_file(path, bytes);
        return fs::canonical(path).string();
    }
    // `name`: "loop0", or "loop0/loop0p1" for a partition.
    dev_t add(const std::string& name, unsigned minor_number, std::uint64_t bytes) {
        const fs::path folder = root_ / "block" / name;
        fs::create_directories(folder / "slaves");
        fs::create_directory_symlink(folder,
                                     root_ / "dev/block" / fmt::format("9:{}", minor_number));
        write(name + "/size", std::to_string(bytes / 512));
        return makedev(9, minor_number);
    }
    dev_t add_loop(const std::string& name, unsigned minor_number, const std::string& file,
                   std::uint64_t offset, std::uint64_t bytes) {
        const dev_t number = add(name, minor_number, bytes);
        fs::create_directories(root_ / "block" / name / "loop");
        write(name + "/loop/backing_file", file);
        write(name + "/loop/offset", std::to_string(offset));
        return number;
    }
    void write(const std::string& file, const std::string& text) const {
        std::ofstream(root_ / "block" / file) << text << '\n';
    }
    void add_slave(const std::string& of, const std::string& slave) const {
        fs::create_directory_symlink(root_ / "block" / slave,
                                     root_ / "block" / of / "slaves" / fs::path(slave).filename());
    }

  private:
    fs::path root_;
};

bool is_of(const Backing& backing, const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && backing.named && !backing.block &&
           backing.device == status.st_dev && backing.inode == status.st_ino;
}

// Nobody asks what the kernel says of it.
Status lock(const std::vector<Backing>& backings, Access access, Held& held) {
    return lock_backings(backings, -1, "/dev/loop0", access, held);
}

}  // namespace

TEST_CASE("backing: a loop device has its file, all of it or a range") {
    Sysfs sysfs;
    const std::string file = sysfs.make_file("qlc0.img", 8 * MiB + 100);
    const auto all = backings_of(sysfs.root(), sysfs.add_loop("loop0", 0, file, 0, 8 * MiB));
    REQUIRE(all.size() == 1);
    CHECK(is_of(all[0], file));
    CHECK(all[0].whole);
    CHECK(all[0].loop == "loop0");
    const auto part = backings_of(sysfs.root(), sysfs.add_loop("loop1", 1, file, MiB, 7 * MiB));
    REQUIRE(part.size() == 1);
    CHECK(is_of(part[0], file));
    CHECK_FALSE(part[0].whole);
    CHECK(part[0].offset == MiB);
    CHECK(part[0].bytes == 7 * MiB);
    CHECK(loops_over(sysfs.root(), file).find("/dev/loop0") != std::string::npos);
    CHECK(loops_over(sysfs.root(), file).find("/dev/loop1") != std::string::npos);
}

TEST_CASE("backing: a partition of a loop device is a range of its file") {
    Sysfs sysfs;
    const std::string file = sysfs.make_file("disk.img", 8 * MiB);
    sysfs.add_loop("loop0", 0, file, 4096, 8 * MiB - 4096);
    const dev_t partition = sysfs.add("loop0/loop0p1", 1, 2 * MiB);
    sysfs.write("loop0/loop0p1/partition", "1");
    sysfs.write("loop0/loop0p1/start", "2048");
    const auto found = backings_of(sysfs.root(), partition);
    REQUIRE(found.size() == 1);
    CHECK(is_of(found[0], file));
    CHECK_FALSE(found[0].whole);
    CHECK(found[0].offset == MiB + 4096);
    CHECK(found[0].bytes == 2 * MiB);
}

TEST_CASE("backing: what is made of loop devices has their files, and a drive has none") {
    Sysfs sysfs;
    const std::string one = sysfs.make_file("one.img", MiB);
    const std::string two = sysfs.make_file("two.img", MiB);
    sysfs.add_loop("loop0", 0, one, 0, MiB);
    sysfs.add_loop("loop1", 1, two, 0, MiB);
    const dev_t mapped = sysfs.add("dm-0", 2, 2 * MiB);
    sysfs.add_slave("dm-0", "loop0");
    sysfs.add_slave("dm-0", "loop1");
    const auto found = backings_of(sysfs.root(), mapped);
    REQUIRE(found.size() == 2);
    CHECK((is_of(found[0], one) || is_of(found[1], one)));
    CHECK((is_of(found[0], two) || is_of(found[1], two)));
    CHECK_FALSE(found[0].whole);
    CHECK(backings_of(sysfs.root(), sysfs.add("sda", 3, MiB)).empty());
    CHECK(backings_of(sysfs.root(), makedev(9, 77)).empty());
    // A device that is made of itself ends, too.
    sysfs.add_slave("dm-0", "dm-0");
    CHECK(backings_of(sysfs.root(), mapped).size() >= 2);
}

TEST_CASE("backing: who has the file has it for the loop device, and the other way round") {
    Sysfs sysfs;
    const std::string file = sysfs.make_file("qlc0.img", MiB);
    const auto loop = backings_of(sysfs.root(), sysfs.add_loop("loop0", 0, file, 0, MiB));
    {
        const auto device = open_device(file, 0, Access::read_write, false);
        REQUIRE(device);
        Held held;
        const Status locked = lock(loop, Access::read_write, held);
        REQUIRE_FALSE(locked);
        CHECK(locked.error().code == Errc::busy);
        CHECK(locked.error().message.find(file) != std::string::npos);
        CHECK(locked.error().message.find("/dev/loop0") != std::string::npos);
        CHECK(are_locked_for_writing(loop));
        CHECK(lock(loop, Access::inspect, held));
    }
    CHECK_FALSE(are_locked_for_writing(loop));
    {
        Held held;
        REQUIRE(lock(loop, Access::read_write, held));
        const auto device = open_device(file, 0, Access::read_write, false);
        REQUIRE_FALSE(device);
        CHECK(device.error().code == Errc::busy);
        Held second;
        CHECK_FALSE(lock(loop, Access::read_only, second));
    }
    CHECK(open_device(file, 0, Access::read_write, false));
}

TEST_CASE("backing: ranges share a file unless they overlap, or somebody has all of it") {
    Sysfs sysfs;
    const std::string file = sysfs.make_file("disk.img", 8 * MiB);
    const auto first = backings_of(sysfs.root(), sysfs.add_loop("loop0", 0, file, 0, 4 * MiB));
    const auto second =
        backings_of(sysfs.root(), sysfs.add_loop("loop1", 1, file, 4 * MiB, 4 * MiB));
    const auto across = backings_of(sysfs.root(), sysfs.add_loop("loop2", 2, file, 3 * MiB, MiB));
    Held held;
    REQUIRE(lock(first, Access::read_write, held));
    CHECK(lock(second, Access::read_write, held));
    Held other;
    const Status overlaps = lock(across, Access::read_write, other);
    REQUIRE_FALSE(overlaps);
    CHECK(overlaps.error().code == Errc::busy);
    CHECK_FALSE(open_device(file, 0, Access::read_write, false));
}

TEST_CASE("backing: a file that can't be found here is refused, one that is deleted is nobody's") {
    Sysfs sysfs;
    const auto elsewhere =
        backings_of(sysfs.root(), sysfs.add_loop("loop0", 0, "/no/such/qlc0.img", 0, MiB));
    Held held;
    const Status locked = lock(elsewhere, Access::read_write, held);
    REQUIRE_FALSE(locked);
    CHECK(locked.error().message.find("/no/such/qlc0.img") != std::string::npos);
    const auto deleted = backings_of(
        sysfs.root(), sysfs.add_loop("loop1", 1, "/no/such/qlc1.img (deleted)", 0, MiB));
    CHECK(lock(deleted, Access::read_write, held));
}
