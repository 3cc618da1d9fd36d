// SPDX-License-Identifier: Apache-2.0
// What a store is asked, and what it answers.
#pragma once

#include <qlcshape/error.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace kv_store {

struct Answer {
    bool found = false;             // get, exists, remove: the key was there
    std::string value;              // get
    std::vector<std::string> keys;  // list
};

struct Task {
    enum class Kind { get, exists, set, remove, list };
    using Done = std::move_only_function<void(qlcshape::Result<Answer>)>;

    Kind kind = Kind::get;
    std::string key;
    std::string value;         // set
    std::uint64_t bucket = 0;  // list: the keys of this one
    Done done;                 // a set and a remove are durable by then
};

}  // namespace kv_store
