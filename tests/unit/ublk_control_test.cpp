// SPDX-License-Identifier: Apache-2.0
// What is asked of the ublk driver, against a driver that the test plays.
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tools/ublk/control.h"
#include "tools/ublk/device.h"
#include "tools/ublk/shape.h"

namespace qlcshape::ublk {
namespace {

struct FakeDriver final : Driver {
    std::optional<std::uint64_t> features = kRecovery | kReissue | kUnprivileged;
    std::map<std::uint32_t, DeviceInfo> known;
    std::map<Command, std::vector<int>> results;  // the next ones; 0 when there are none
    std::map<Command, int> asked;
    std::string path;  // of the last command
    ControlWords last;

    int send(Command command, const ControlWords& words, int) override {
        ++asked[command];
        last = words;
        auto* payload = reinterpret_cast<char*>(words.address);
        path = words.path_bytes == 0 ? "" : std::string(payload);
        if (words.path_bytes != 0) CHECK(path.size() + 1 == words.path_bytes);
        payload += words.path_bytes;
        if (auto& next = results[command]; !next.empty()) {
            const int result = next.front();
            next.erase(next.begin());
            if (result < 0) return result;
        }
        if (command == Command::get_features) {
            if (!features) return -ENODEV;
            std::memcpy(payload, &*features, sizeof(*features));
            return 0;
        }
        if (command == Command::add) {
            auto* const info = reinterpret_cast<DeviceInfo*>(payload);
            if (info->dev_id == UINT32_MAX) info->dev_id = static_cast<std::uint32_t>(known.size());
            known[info->dev_id] = *info;
            return 0;
        }
        const auto found = known.find(words.device);
        if (found == known.end()) return -ENODEV;
        if (command == Command::get_info || command == Command::get_info_by_path)
            std::memcpy(payload, &found->second, sizeof(DeviceInfo));
        return 0;
    }
    std::vector<std::uint32_t> devices() const override {
        std::vector<std::uint32_t> all;
        for (const auto& [number, info] : known) all.push_back(number);
        return all;
    }
    void have(std::uint32_t number, std::uint64_t mark, std::uint64_t flags = kRecovery) {
        DeviceInfo info = info_of(2, mark);
        info.dev_id = number;
        info.flags = flags;
        info.state = UBLK_S_DEV_QUIESCED;
        info.ublksrv_pid = 4242;
        known[number] = info;
    }
};

bool says(const Error& error, std::initializer_list<const char*> words) {
    for (const char* word : words) {
        if (error.message.find(word) == std::string::npos) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("ublk shape: the parameters of a device") {
    Shape shape{.volume_bytes = 100 << 20, .segment_bytes = 1 << 20};
    Parameters p = parameters_of(shape);
    CHECK(p.basic.dev_sectors == 100 * 2048);
    CHECK(1U << p.basic.logical_bs_shift == 4096);
    CHECK(1U << p.basic.physical_bs_shift == 4096);
    CHECK(1U << p.basic.io_opt_shift == 1 << 20);
    CHECK(p.basic.max_sectors == kMaxDataBytes / 512);
    CHECK(p.basic.attrs == 0);  // no cache to flush, writes
    CHECK(p.discard.discard_granularity == 4096);
    CHECK(p.discard.max_discard_segments == 1);
    CHECK(p.discard.max_write_zeroes_sectors > 0);
    shape.logical_block_bytes = 512;
    shape.segment_bytes = 10 * (128 << 10);  // ten strips: no power of two
    shape.read_only = true;
    p = parameters_of(shape);
    CHECK(1U << p.basic.logical_bs_shift == 512);
    CHECK(1U << p.basic.physical_bs_shift == 4096);
    CHECK(1U << p.basic.io_opt_shift == 1 << 20);
    CHECK(p.basic.attrs == UBLK_ATTR_READ_ONLY);
}

TEST_CASE("ublk shape: queues and slots for any number of CPUs") {
    for (const std::uint32_t cpus : {0U, 1U, 2U, 16U, 64U, 128U, 1000U}) {
        const DeviceInfo info = info_of(cpus, 7);
        CHECK(info.nr_hw_queues >= 1);
        CHECK(info.nr_hw_queues <= std::max(1U, cpus));
        CHECK(info.queue_depth >= kMinDepth);
        CHECK(info.queue_depth <= kMaxDepth);
        CHECK(std::uint32_t{info.nr_hw_queues} * info.queue_depth <= kMaxRequests);
    }
}

TEST_CASE("ublk shape: a volume's mark is its own") {
    CHECK(mark_of("a", "b") == mark_of("a", "b"));
    CHECK(mark_of("a", "b") != mark_of("a", "c"));
    CHECK(mark_of("a", "b") != mark_of("c", "b"));
    CHECK(mark_of("ab", "c") != mark_of("a", "bc"));
    CHECK(mark_of("", "") != 0);
}

TEST_CASE("ublk: the device that an earlier server left is found by its mark") {
    FakeDriver driver;
    const Control control(driver);
    CHECK_FALSE(*find_left(control, {{}, 11, {}}));
    driver.have(0, 10);
    driver.have(3, 11);
    auto found = find_left(control, {{}, 11, {}});
    REQUIRE((found && *found));
    CHECK((*found)->dev_id == 3);
    CHECK((*find_left(control, {3, 11, {}}))->dev_id == 3);
    CHECK_FALSE(*find_left(control, {5, 11, {}}));  // free: it will be made
    CHECK_FALSE(*find_left(control, {{}, 12, {}}));
}

TEST_CASE("ublk: a number that is another volume's is refused") {
    FakeDriver driver;
    const Control control(driver);
    driver.have(3, 10);
    const auto found = find_left(control, {3, 11, {}});
    REQUIRE_FALSE(found);
    CHECK(found.error().code == Errc::exists);
    CHECK(says(found.error(), {"/dev/ublkb3", "4242", "--id", "qlcshape ublk delete 3"}));
    CHECK(driver.asked[Command::start_recovery] == 0);
}

TEST_CASE("ublk: recovery waits until the kernel has noticed the old server's end") {
    FakeDriver driver;
    const Control control(driver);
    driver.have(1, 10);
    driver.results[Command::start_recovery] = {-EBUSY, -EBUSY, -EBUSY};
    CHECK(control.start_recovery(driver.known[1]));
    CHECK(driver.asked[Command::start_recovery] == 4);
    driver.results[Command::start_recovery] = {-EINVAL};
    const Status refused = control.start_recovery(driver.known[1]);
    REQUIRE_FALSE(refused);
    CHECK(says(refused.error(), {"/dev/ublkb1", "Invalid argument"}));
}

TEST_CASE("ublk: a user's device is asked for by its path") {
    FakeDriver driver;
    const Control control(driver);
    driver.have(2, 10, kUnprivileged);
    REQUIRE(control.info(2));
    CHECK(driver.path == "/dev/ublkc2");
    REQUIRE(control.stop(driver.known[2]));
    CHECK(driver.path == "/dev/ublkc2");
    driver.have(4, 10);
    REQUIRE(control.stop(driver.known[4]));
    CHECK(driver.path.empty());
}

TEST_CASE("ublk: a kernel that tells no features is asked the old way") {
    FakeDriver driver;
    driver.features.reset();
    const Control control(driver);
    driver.have(0, 10);
    CHECK_FALSE(control.features());
    REQUIRE(control.info(0));
    CHECK(driver.asked[Command::get_info] == 1);
    CHECK(driver.asked[Command::get_info_by_path] == 0);
}

TEST_CASE("ublk: errors name the device, the cause and a remedy") {
    FakeDriver driver;
    const Control control(driver);
    const auto [error, remedy] =
        GENERATE(std::pair{EPERM, "docs/ublk.md"}, std::pair{EEXIST, "--id"},
                 std::pair{ENOMEM, "memory"}, std::pair{EIO, "dmesg"});
    driver.results[Command::add] = {-error};
    DeviceInfo info = info_of(2, 10);
    info.dev_id = 6;
    const Status added = control.add(info);
    REQUIRE_FALSE(added);
    CHECK(says(added.error(), {"/dev/ublkb6", std::strerror(error), remedy}));
}

// The kernel may still write to it.
TEST_CASE("ublk: the memory of a command that was given up stays") {
    FakeDriver driver;
    const Control control(driver);
    driver.have(0, 10);
    driver.results[Command::get_info_by_path] = {-ETIME};
    CHECK_FALSE(control.info(0));
    std::memset(reinterpret_cast<void*>(driver.last.address), 1, driver.last.bytes);
}

}  // namespace qlcshape::ublk
