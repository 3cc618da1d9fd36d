// SPDX-License-Identifier: Apache-2.0
// The key-value example's parts: protocol, free blocks, buckets.
#include <catch2/catch.hpp>
#include <cstring>

#include "kv_store/bucket.h"
#include "kv_store/resp.h"
#include "kv_store/space.h"
#include "kv_store/words.h"

using namespace kv_store;

TEST_CASE("kv resp: commands come whole however the bytes are cut") {
    const std::string wire =
        "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n"
        "*0\r\n*-1\r\n\r\n  \n"  // no commands
        "*1\r\n$4\r\nPING\r\n"
        "get \"a\\x62\\n\" 'it\\'s'\tc\n";
    for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
        RespParser parser;
        std::vector<Command> commands;
        for (const std::string& part : {wire.substr(0, cut), wire.substr(cut)}) {
            parser.feed(part);
            for (;;) {
                auto command = parser.next();
                REQUIRE(command);
                if (!*command) break;
                commands.push_back(**command);
            }
        }
        REQUIRE(commands.size() == 3);
        CHECK(commands[0].arguments == std::vector<std::string>{"SET", "", "a\r\nb"});
        CHECK(commands[1].arguments == std::vector<std::string>{"PING"});
        CHECK(commands[2].arguments == std::vector<std::string>{"get", "ab\n", "it's", "c"});
        CHECK(commands[0].bytes + commands[1].bytes + commands[2].bytes == wire.size() - 14);
    }
}

TEST_CASE("kv resp: what is no command is told") {
    for (const char* wire :
         {"*x\r\n", "*\r\n", "*4097\r\n", "*12345678901234", "*1\r\n*1\r\n", "*1\r\n$-1\r\n",
          "*1\r\n$4194305\r\n", "*1\r\n$99999999999\r\n", "*1\r\n$1\r\nab\r\n",
          "*1\r\n$18446744073709551615\r\n", "*2\r\n$4194000\r\n", "get \"a\r\n", "get 'a'b\r\n"}) {
        RespParser parser;
        parser.feed(wire);
        INFO(wire);
        if (std::string_view(wire).starts_with("*2")) {
            parser.feed(std::string(4194000, 'x') + "\r\n$400\r\n");
        }
        CHECK(!parser.next());
    }
    RespParser parser;
    parser.feed(std::string(kMaxInlineBytes - 1, 'x'));
    REQUIRE(parser.next());
    parser.feed("x");
    CHECK(!parser.next());
    CHECK(resp::error("ERR two\r\nlines") == "-ERR two  lines\r\n");
}

TEST_CASE("kv words: patterns") {
    for (const auto& [pattern, text] : std::vector<std::pair<std::string, std::string>>{
             {"", ""},
             {"*", ""},
             {"**", "abc"},
             {"a*c", "abbc"},
             {"a*b*c", "abxbcxc"},
             {"?", "x"},
             {"h[ae]llo", "hallo"},
             {"h[^e]llo", "hallo"},
             {"h[a-c]llo", "hbllo"},
             {"h[c-a]llo", "hbllo"},
             {"[\\]]", "]"},
             {"[a-]", "-"},
             {"\\*", "*"},
             {"a[b", "ab"},
             {std::string("a*\0c", 4), std::string("ab\0c", 4)}}) {
        INFO(pattern << " " << text);
        CHECK(fits(pattern, text));
    }
    for (const auto& [pattern, text] :
         std::vector<std::pair<std::string, std::string>>{{"", "a"},
                                                          {"a", ""},
                                                          {"?", ""},
                                                          {"a*c", "ab"},
                                                          {"a*b*c", "acb"},
                                                          {"h[^e]llo", "hello"},
                                                          {"h[a-c]llo", "hdllo"},
                                                          {"\\*", "x"},
                                                          {"ab", "abc"},
                                                          {"[]", "x"},
                                                          {"a", std::string("a\0b", 3)}}) {
        INFO(pattern << " " << text);
        CHECK(!fits(pattern, text));
    }
    // No pattern takes long.
    std::string stars;
    for (int i = 0; i < 300; ++i) stars += "*a";
    CHECK(!fits(stars + "b", std::string(1024, 'a')));
}

TEST_CASE("kv space: next fit, aligned, and full") {
    Space space(5, 133);
    CHECK(space.free_blocks() == 128);
    const auto a = space.allocate(3);
    REQUIRE(a);
    CHECK(a->first == 5);
    const auto b = space.allocate(16, 16);
    REQUIRE(b);
    CHECK(b->first == 16);
    CHECK(!space.take({4, 1}));
    CHECK(!space.take({133, 1}));
    CHECK(!space.take({130, 4}));
    CHECK(!space.take({UINT64_MAX, 2}));
    CHECK(!space.take({7, 1}));
    CHECK(space.take({132, 1}));
    CHECK(!space.allocate(101));
    REQUIRE(space.allocate(100));
    REQUIRE(space.allocate(8));
    CHECK(space.free_blocks() == 0);
    CHECK(!space.allocate(1));
    space.free(*a);
    space.free({8, 2});
    // The two lie side by side.
    const auto c = space.allocate(5);
    REQUIRE(c);
    CHECK(c->first == 5);
}

TEST_CASE("kv bucket: as it was, and strangers refused") {
    constexpr std::uint64_t kBuckets = 1;
    Bucket bucket(0);
    bucket.put({"key", "value", 5, {}});
    bucket.put({"", "", 0, {}});
    bucket.put({"large", "", 100000, Extent{77, 25}});
    bucket.put({"key", "other", 5, {}});
    bucket.put({"gone", "x", 1, {}});
    CHECK(bucket.remove("gone"));
    CHECK(!bucket.remove("gone"));
    const Bytes bytes = bucket.encode();
    REQUIRE(bytes.size() == kBlockBytes);

    const auto back = Bucket::decode(bytes, 0, kBuckets);
    REQUIRE(back);
    CHECK(back->records().size() == 3);
    CHECK(back->encoded_bytes() == bucket.encoded_bytes());
    CHECK(back->find("key")->value == "other");
    CHECK(back->find("large")->extent->first == 77);
    CHECK(back->find("large")->extent->blocks == 25);

    CHECK(!Bucket::decode(bytes, 1, 2));  // another bucket's
    CHECK(!Bucket::decode(std::span(bytes).first(60), 0, kBuckets));
    CHECK(Bucket::decode(Bytes(kBlockBytes), 0, kBuckets)->records().empty());
    // Whatever byte is changed, it is refused or read within its bounds.
    for (std::size_t i = 0; i < bucket.encoded_bytes(); ++i) {
        Bytes spoiled = bytes;
        spoiled[i] ^= std::byte{0xff};
        const auto read = Bucket::decode(spoiled, 0, kBuckets);
        if (read) CHECK(read->records().size() == 3);
    }

    const Bytes pointer = encode_pointer(9, {64, 4});
    CHECK((*decode_pointer(pointer, 9))->first == 64);
    CHECK(!decode_pointer(pointer, 8));
    CHECK(!decode_pointer(encode_pointer(9, {64, 17}), 9));
    CHECK(!*decode_pointer(bytes, 0));
    CHECK(!Bucket::decode(pointer, 9, 10));
}
