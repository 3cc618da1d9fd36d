// SPDX-License-Identifier: Apache-2.0
// SCAN. The cursor is a bucket's number: a key never leaves its bucket, so one that is there from
// the first call to the last is seen, and once only.
#include <strings.h>

#include <charconv>
#include <memory>
#include <utility>

#include "kv_store/commands.h"
#include "kv_store/words.h"

namespace kv_store {

using qlcshape::Result;

namespace {

constexpr std::uint64_t kMaxCount = 1000;
// Buckets looked at for one key asked for: most may be empty.
constexpr std::uint64_t kEffort = 16;

bool parse(const std::string& text, std::uint64_t& number) {
    const char* last = text.data() + text.size();
    const auto [stopped, failure] = std::from_chars(text.data(), last, number);
    return failure == std::errc() && stopped == last;
}

// One SCAN under way. It goes from bucket to bucket, each asked for when the one before answered.
struct Scan {
    Store& store;
    Give give;
    std::uint64_t bucket = 0;
    std::uint64_t count = 10;
    std::uint64_t buckets_left = 0;
    std::string pattern = "*";
    std::vector<std::string> keys = {};

    static void step(std::shared_ptr<Scan> scan) {
        if (scan->bucket == scan->store.buckets() || scan->buckets_left == 0 ||
            scan->keys.size() >= scan->count) {
            return scan->reply();
        }
        --scan->buckets_left;
        Task task;
        task.kind = Task::Kind::list;
        task.bucket = scan->bucket++;
        task.done = [scan](Result<Answer> answer) {
            if (!answer) return scan->give(resp::error("ERR " + answer.error().message));
            scan->add(*answer);
            step(scan);
        };
        scan->store.submit(std::move(task));
    }

    void add(const Answer& answer) {
        for (const std::string& key : answer.keys) {
            if (fits(pattern, key)) keys.push_back(key);
        }
    }

    void reply() const {
        const std::uint64_t cursor = bucket == store.buckets() ? 0 : bucket;
        std::string text = resp::array(2) + resp::bulk(std::to_string(cursor));
        text += resp::array(keys.size());
        for (const std::string& key : keys) text += resp::bulk(key);
        give(std::move(text));
    }
};

}  // namespace

void Commands::scan(Arguments arguments, Session&, Give give) {
    const auto scan = std::make_shared<Scan>(Scan{.store = store_, .give = give});
    if (!parse(arguments[1], scan->bucket) || scan->bucket >= store_.buckets()) {
        return give(resp::error("ERR invalid cursor"));
    }
    for (std::size_t i = 2; i < arguments.size(); i += 2) {
        const char* option = arguments[i].c_str();
        if (i + 1 == arguments.size()) return give(resp::error("ERR syntax error"));
        if (strcasecmp(option, "match") == 0) {
            scan->pattern = arguments[i + 1];
        } else if (strcasecmp(option, "count") == 0) {
            if (!parse(arguments[i + 1], scan->count) || scan->count == 0) {
                return give(resp::error("ERR COUNT is a number from 1 on"));
            }
            scan->count = std::min(scan->count, kMaxCount);
        } else {
            return give(resp::error("ERR syntax error: SCAN takes MATCH and COUNT"));
        }
    }
    scan->buckets_left = scan->count * kEffort;
    Scan::step(scan);
}

}  // namespace kv_store
