// SPDX-License-Identifier: Apache-2.0
// The key-value example's store on an array in memory, against a map.
#include <poll.h>

#include <qlcshape/engine.h>
#include <catch2/catch.hpp>
#include <map>

#include "base/random.h"
#include "base/types.h"
#include "device/device.h"
#include "kv_store/store.h"

using namespace qlcshape;
using kv_store::Answer;
using kv_store::Store;
using kv_store::Task;

namespace {

struct Array {
    Options options;

    explicit Array(std::uint64_t volume_bytes) {
        options.data_strips = 2;
        options.strip_bytes = 64 * KiB;
        options.band_bytes = 512 * KiB;
        options.pmt_cache_bytes = 64 * KiB;
        for (int i = 0; i < 6; ++i) {
            options.devices.push_back({i < 4 ? Role::qlc : Role::scm,
                                       "memory:kv_test_" + std::to_string(i),
                                       i < 4 ? 40 * MiB : 16 * MiB});
        }
        REQUIRE(Engine::create(options));
        auto engine = Engine::open(options);
        REQUIRE(engine);
        REQUIRE((*engine)->create_volume("v", volume_bytes));
    }
    ~Array() {
        for (const DeviceOptions& d : options.devices) forget_memory_device(d.path);
    }
};

struct Open {
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Store> store;

    explicit Open(const Array& array) {
        engine = *Engine::open(array.options);
        auto opened = Store::open(*engine->open_volume("v"));
        if (!opened) FAIL(opened.error().message);
        store = std::move(*opened);
    }
    ~Open() {
        settle();
        store.reset();
    }
    void settle() {
        store->run();
        while (!store->idle()) {
            pollfd ready{store->event_fd(), POLLIN, 0};
            REQUIRE(::poll(&ready, 1, 10000) == 1);
            store->run();
        }
    }
    Result<Answer> ask(Task::Kind kind, const std::string& key, const std::string& value = {}) {
        std::optional<Result<Answer>> got;
        store->submit(
            {.kind = kind, .key = key, .value = value, .done = [&](Result<Answer> answer) {
                 got = std::move(answer);
             }});
        settle();
        return *got;
    }
};

std::string content(Random& random, std::size_t bytes) {
    std::string text(bytes, 'x');
    for (std::size_t i = 0; i < bytes; i += 997)
        text[i] = static_cast<char>('a' + random.below(26));
    return text;
}

}  // namespace

TEST_CASE("kv store: many tasks at once are done in order, and again after a close") {
    const Array array(8 * MiB);
    std::map<std::string, std::string> model;
    Random random(1);
    for (int round = 0; round < 4; ++round) {
        Open kv(array);
        REQUIRE(kv.store->keys() == model.size());
        for (int i = 0; i < 4000; ++i) {
            // Few keys, so that tasks meet in a batch.
            const std::string key =
                "k" + std::to_string(random.below(random.chance(1, 2) ? 40 : 4000));
            switch (random.below(5)) {
                case 0: {
                    const bool there = model.erase(key) > 0;
                    kv.store->submit({.kind = Task::Kind::remove,
                                      .key = key,
                                      .value = {},
                                      .done = [there](auto a) {
                                          REQUIRE(a);
                                          REQUIRE(a->found == there);
                                      }});
                    break;
                }
                case 1:
                case 2: {
                    const std::size_t bytes = random.below(random.chance(1, 20) ? 30000 : 300);
                    model[key] = content(random, bytes);
                    kv.store->submit({.kind = Task::Kind::set,
                                      .key = key,
                                      .value = model[key],
                                      .done = [](auto a) {
                                          if (!a) FAIL(a.error().message);
                                      }});
                    break;
                }
                default: {
                    const auto found = model.find(key);
                    const bool there = found != model.end();
                    kv.store->submit({.kind = Task::Kind::get,
                                      .key = key,
                                      .value = {},
                                      .done = [there, value = there ? found->second : ""](auto a) {
                                          REQUIRE(a);
                                          REQUIRE(a->found == there);
                                          REQUIRE(a->value == value);
                                      }});
                }
            }
            if (random.chance(1, 50)) kv.store->run();
        }
        kv.settle();
        CHECK(kv.store->keys() == model.size());
        // Nothing is lost of the free space: an open finds as much.
        const std::uint64_t free = kv.store->free_bytes();
        kv.store = std::move(*Store::open(*kv.engine->open_volume("v")));
        CHECK(kv.store->free_bytes() == free);
        for (const auto& [key, value] : model)
            REQUIRE(kv.ask(Task::Kind::get, key)->value == value);
    }
}

TEST_CASE("kv store: buckets outgrow their block, shrink, and fill up") {
    const Array array(256 * KiB);  // 16 buckets
    Open kv(array);
    REQUIRE(kv.store->buckets() == 16);
    const std::uint64_t all_free = kv.store->free_bytes();
    std::map<std::string, std::string> model;
    bool full = false;
    for (int i = 0; i < 3000; ++i) {
        const std::string key = "key" + std::to_string(i);
        const std::string value(100, static_cast<char>('a' + i % 26));
        const auto answer = kv.ask(Task::Kind::set, key, value);
        if (answer) {
            model[key] = value;
        } else {
            REQUIRE(answer.error().code == Errc::no_space);
            full = true;
        }
    }
    CHECK(full);
    CHECK(model.size() > 500);
    CHECK(kv.store->keys() == model.size());
    kv.store = std::move(*Store::open(*kv.engine->open_volume("v")));
    CHECK(kv.store->keys() == model.size());
    for (const auto& [key, value] : model) REQUIRE(kv.ask(Task::Kind::get, key)->value == value);
    // In a full store keys can always be deleted.
    for (const auto& [key, value] : model) REQUIRE(kv.ask(Task::Kind::remove, key)->found);
    CHECK(kv.store->keys() == 0);
    CHECK(kv.store->free_bytes() == all_free);
}

TEST_CASE("kv store: refuses what is not its own") {
    const Array array(MiB);
    const auto engine = Engine::open(array.options);
    const Volume volume = *(*engine)->open_volume("v");
    std::vector<std::byte> block(4096);
    block[100] = std::byte{1};
    const std::uint64_t at = GENERATE(0u, 1u, 255u);
    REQUIRE(volume.write(at, block));
    auto store = Store::open(volume);
    REQUIRE(!store);
    CHECK(store.error().message.find("block " + std::to_string(at)) != std::string::npos);
    CHECK(store.error().code == Errc::exists);

    // A store's index that was written over.
    REQUIRE(volume.trim(0, volume.blocks()));
    REQUIRE(Store::open(volume));
    REQUIRE(volume.write(7, block));
    store = Store::open(volume);
    REQUIRE(!store);
    CHECK(store.error().code == Errc::damaged);
    REQUIRE(volume.trim(7, 1));

    REQUIRE(volume.read(0, block));
    block[8] = std::byte{2};
    REQUIRE(volume.write(0, block));
    store = Store::open(volume);
    REQUIRE(!store);
    CHECK(store.error().code == Errc::unsupported);
}
