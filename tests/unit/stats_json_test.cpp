// SPDX-License-Identifier: Apache-2.0
// Statistics that another process, maybe of another version, tells.
#include "admin/stats_json.h"

#include <catch2/catch.hpp>
#include <string>

using namespace qlcshape;

namespace {

Stats some() {
    Stats s;
    s.array_uuid = "u";
    s.space.raw_bytes = UINT64_MAX;
    s.bands.total = UINT32_MAX;
    s.bands.by_validity[9] = 7;
    s.endurance.open_seconds = 1.5;
    s.devices.emplace_back().index = 3;
    s.volumes.push_back({"v", "w", 4096, ""});
    return s;
}

// The JSON of some(), with one field changed.
std::string with(const std::string& field, const std::string& value) {
    std::string json = to_json(some());
    const std::string key = "\"" + field + "\":";
    const auto at = json.find(key);
    REQUIRE(at != std::string::npos);
    const auto begin = at + key.size();
    return json.replace(begin, json.find_first_of(",}", begin) - begin, value);
}

}  // namespace

TEST_CASE("stats json: what was written is read") {
    const auto read = stats_from_json(to_json(some()));
    REQUIRE(read);
    CHECK(read->space.raw_bytes == UINT64_MAX);
    CHECK(read->bands.total == UINT32_MAX);
    CHECK(read->bands.by_validity[9] == 7);
    CHECK(read->endurance.open_seconds == 1.5);
    CHECK(read->devices.at(0).index == 3);
    CHECK(read->volumes.at(0).bytes == 4096);
    REQUIRE(stats_from_json(with("open_seconds", "2")));        // a whole number
    CHECK(stats_from_json(R"({"array_uuid":"u","more":-1})"));  // of a newer version
}

TEST_CASE("stats json: numbers that don't fit are refused by name") {
    for (const char* field : {"raw_bytes", "total", "index", "user_written", "epoch"}) {
        for (const char* value :
             {"-1", "1.5", "1e300", "18446744073709551616", "true", "\"1\"", "null", "[]", "{}"}) {
            CAPTURE(field, value);
            const auto read = stats_from_json(with(field, value));
            REQUIRE_FALSE(read);
            CHECK(read.error().code == Errc::unsupported);
            CHECK(read.error().message.find(field) != std::string::npos);
        }
    }
    for (const char* field : {"total", "index"}) {  // of 32 bits
        const auto read = stats_from_json(with(field, "4294967296"));
        REQUIRE_FALSE(read);
        CHECK(read.error().message.find(field) != std::string::npos);
    }
    for (const char* value : {"-1", "\"1\"", "1e999", "null"}) {
        CAPTURE(value);
        CHECK_FALSE(stats_from_json(with("open_seconds", value)));
    }
}

TEST_CASE("stats json: another kind of thing is an error") {
    for (const char* text :
         {"", "null", "[]", "1", "{", "{\"devices\":1}", "{\"devices\":[1]}",
          "{\"bands\":{\"by_validity\":[1]},\"array_uuid\":\"u\"}", "{\"array_uuid\":1}"}) {
        CAPTURE(text);
        CHECK_FALSE(stats_from_json(text));
    }
}
