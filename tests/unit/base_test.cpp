// SPDX-License-Identifier: Apache-2.0
// The smallest parts: checksums, lists, mailboxes, histograms, chance, identities.
#include <catch2/catch.hpp>
#include <cctype>
#include <cstring>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/fifo.h"
#include "base/histogram.h"
#include "base/mailbox.h"
#include "base/random.h"
#include "base/size_text.h"
#include "base/uuid.h"
#include "qlcshape/options.h"

using namespace qlcshape;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Bit by bit, as the definition has it.
std::uint32_t slow_crc32c(std::span<const std::byte> bytes) {
    std::uint32_t crc = ~0u;
    for (const std::byte byte : bytes) {
        crc ^= static_cast<std::uint32_t>(byte);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

}  // namespace

TEST_CASE("crc32c: known vectors") {
    CHECK(crc32c({}) == 0);
    CHECK(crc32c(bytes_of("123456789")) == 0xe3069283);
    CHECK(crc32c(bytes_of("a")) == 0xc1d04330);
    // RFC 3720, B.4.
    std::vector<std::byte> block(32);
    CHECK(crc32c(block) == 0x8a9136aa);
    std::fill(block.begin(), block.end(), std::byte{0xff});
    CHECK(crc32c(block) == 0x62a8ab43);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(i);
    CHECK(crc32c(block) == 0x46dd794e);
}

TEST_CASE("crc32c: a continued checksum is the checksum of the whole") {
    Random random(11);
    std::vector<std::byte> bytes(300);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    const std::span<const std::byte> all(bytes);
    for (std::size_t length = 0; length <= bytes.size(); length += 7) {
        const auto some = all.first(length);
        const std::uint32_t whole = crc32c(some);
        REQUIRE(whole == slow_crc32c(some));
        for (std::size_t at = 0; at <= length; at += 5) {
            REQUIRE(crc32c_continue(crc32c(some.first(at)), some.subspan(at)) == whole);
        }
    }
}

TEST_CASE("crc32c: blocks are copied and checked in one go") {
    const Buffer from(kBlockBytes);
    const Buffer to(kBlockBytes);
    CHECK(copy_block_crc32c(to.data(), from.data()) == zero_block_crc32c());
    CHECK(zero_block_crc32c() == crc32c(from.span()));
    Random random(12);
    for (std::byte& byte : from.span()) byte = static_cast<std::byte>(random.next());
    CHECK(copy_block_crc32c(to.data(), from.data()) == crc32c(from.span()));
    CHECK(std::memcmp(to.data(), from.data(), kBlockBytes) == 0);
}

namespace {

struct Item {
    int number = 0;
    Item* next = nullptr;
};

}  // namespace

TEST_CASE("fifo: in order, with a way back to the front") {
    Item a{1};
    Item b{2};
    Item c{3};
    Fifo<Item> list;
    CHECK(list.empty());
    list.push_back(b);
    list.push_back(c);
    list.push_front(a);
    CHECK(&list.front() == &a);
    for (int number = 1; number <= 3; ++number) {
        Item& item = list.pop_front();
        CHECK(item.number == number);
        CHECK(item.next == nullptr);
    }
    CHECK(list.empty());
    list.push_front(c);
    list.push_back(a);
    CHECK(&list.pop_front() == &c);
    CHECK(&list.pop_front() == &a);
    CHECK(list.empty());
    list.push_back(b);
    CHECK(&list.front() == &b);
}

TEST_CASE("fifo: taken whole it is empty and takes anew") {
    Item a{1};
    Item b{2};
    Item c{3};
    Fifo<Item> list;
    list.push_back(a);
    list.push_back(b);
    Fifo<Item> taken = list.take();
    CHECK(list.empty());
    list.push_back(c);
    CHECK(taken.pop_front().number == 1);
    CHECK(taken.pop_front().number == 2);
    CHECK(taken.empty());
    CHECK(list.pop_front().number == 3);
    CHECK(list.take().empty());
}

namespace {

struct Message {
    Message* mail_next = nullptr;
    unsigned sender = 0;
    unsigned number = 0;
};

}  // namespace

TEST_CASE("mailbox: two senders at once, nothing lost, each sender's messages in order") {
    constexpr unsigned kEach = 20000;
    Mailbox<Message> mailbox;
    CHECK(mailbox.empty());
    CHECK(mailbox.take_all() == nullptr);
    std::vector<Message> messages[2] = {std::vector<Message>(kEach), std::vector<Message>(kEach)};
    std::vector<std::thread> senders;
    for (unsigned sender = 0; sender < 2; ++sender) {
        senders.emplace_back([&, sender] {
            for (unsigned i = 0; i < kEach; ++i) {
                Message& message = messages[sender][i];
                message.sender = sender;
                message.number = i;
                mailbox.put(message);
            }
        });
    }
    unsigned seen[2] = {0, 0};
    bool in_order = true;
    while (seen[0] + seen[1] < 2 * kEach) {
        Message* message = mailbox.take_all();
        if (message == nullptr) std::this_thread::yield();
        for (; message != nullptr; message = message->mail_next) {
            in_order &= message->number == seen[message->sender]++;
        }
    }
    for (std::thread& sender : senders) sender.join();
    CHECK(in_order);
    CHECK(mailbox.empty());
}

TEST_CASE("histogram: empty") {
    const Histogram histogram;
    CHECK(histogram.count() == 0);
    CHECK(histogram.max_ns() == 0);
    CHECK(histogram.quantile_ns(0.5) == 0);
}

TEST_CASE("histogram: each value is known within 4 percent") {
    for (std::uint64_t value = 1; value < (std::uint64_t{1} << 62); value += value / 3 + 1) {
        Histogram histogram;
        histogram.add(value);
        const double error =
            static_cast<double>(histogram.quantile_ns(0.5)) / static_cast<double>(value) - 1;
        INFO(value);
        REQUIRE(std::abs(error) <= 0.04);
        REQUIRE(histogram.max_ns() == value);
    }
}

TEST_CASE("histogram: quantiles of many values") {
    Histogram histogram;
    for (std::uint64_t i = 1; i <= 10000; ++i) histogram.add((i * 7919 % 10000 + 1) * 100);
    CHECK(histogram.count() == 10000);
    CHECK(histogram.max_ns() == 1000000);
    for (const double share : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999}) {
        INFO(share);
        CHECK(static_cast<double>(histogram.quantile_ns(share)) ==
              Approx(share * 1e6 + 100).epsilon(0.04));
    }
    CHECK(histogram.quantile_ns(1.0) == histogram.max_ns());
}

TEST_CASE("random: the same seed gives the same draws") {
    Random a(42);
    Random b(42);
    Random c(43);
    bool differs = false;
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t draw = a.next();
        REQUIRE(draw == b.next());
        differs |= draw != c.next();
    }
    CHECK(differs);
    // Written down, so that seeds which once failed go on to mean the same.
    Random zero(0);
    CHECK(zero.next() == 0x99ec5f36cb75f2b4);
    CHECK(zero.next() == 0xbf6e1f784956452a);
}

TEST_CASE("random: bounds and chances") {
    Random random(7);
    std::vector<unsigned> count(10);
    unsigned yes = 0;
    for (int i = 0; i < 100000; ++i) {
        ++count[random.below(10)];
        if (random.chance(1, 4)) ++yes;
        const double real = random.real();
        REQUIRE((real >= 0 && real < 1));
        REQUIRE(random.below(1) == 0);
    }
    for (const unsigned n : count) CHECK(n == Approx(10000).epsilon(0.05));
    CHECK(yes == Approx(25000).epsilon(0.05));
    CHECK_FALSE(random.chance(0, 5));
    CHECK(random.chance(5, 5));
}

TEST_CASE("uuid: printed as RFC 4122 does, version 4") {
    CHECK(Uuid{}.is_nil());
    CHECK(Uuid{}.to_string() == "00000000-0000-0000-0000-000000000000");
    Uuid counted;
    for (std::size_t i = 0; i < 16; ++i) counted.bytes[i] = static_cast<std::uint8_t>(0x11 * i);
    CHECK(counted.to_string() == "00112233-4455-6677-8899-aabbccddeeff");
    Random random(1);
    std::set<Uuid> all;
    for (int i = 0; i < 1000; ++i) {
        const Uuid id = Uuid::random(random);
        const std::string text = id.to_string();
        REQUIRE(text.size() == 36);
        REQUIRE(text[14] == '4');
        REQUIRE(std::string_view("89ab").find(text[19]) != std::string_view::npos);
        for (std::size_t c = 0; c < text.size(); ++c) {
            const bool dash = c == 8 || c == 13 || c == 18 || c == 23;
            REQUIRE((dash ? text[c] == '-' : std::isxdigit(text[c]) != 0));
        }
        all.insert(id);
    }
    CHECK(all.size() == 1000);
    CHECK_FALSE(all.contains(Uuid{}));
}

TEST_CASE("base: sizes as people write them") {
    CHECK(size_text(std::uint64_t{0}) == "0 B");
    CHECK(size_text(std::uint64_t{1023}) == "1023 B");
    CHECK(size_text(10 * GiB) == "10 GiB");
    CHECK(size_text(58 * MiB + 500 * KiB) == "58.5 MiB");
    CHECK(size_text(MiB - 1) == "1.00 MiB");
    CHECK(size_text(UINT64_MAX) == "16 EiB");
    CHECK(at_least_text(58 * MiB + 1) == "59 MiB");
    CHECK(at_least_text(58 * MiB) == "58 MiB");
    CHECK(at_least_text(5) == "5 B");
    CHECK(at_least_text(0) == "0 B");
    Random random(1);
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t bytes = random.below(std::uint64_t{1} << random.below(62));
        const std::uint64_t least = parse_size(at_least_text(bytes)).value();
        CHECK(least >= bytes);
        CHECK(least - bytes <= bytes / 10);
    }
}
