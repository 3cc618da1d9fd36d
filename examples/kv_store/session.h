// SPDX-License-Identifier: Apache-2.0
// What a client said of itself, for as long as its connection lasts.
#pragma once

#include <cstdint>
#include <string>

#include "kv_store/resp.h"

namespace kv_store {

// Of Redis, as far as the commands here go: clients choose by it what they send.
inline constexpr const char* kSpokenVersion = "7.0.0";

struct Session {
    std::uint64_t id = 0;
    Protocol protocol = Protocol::resp2;
    std::string name;                      // CLIENT SETNAME
    std::string library, library_version;  // CLIENT SETINFO
};

}  // namespace kv_store
