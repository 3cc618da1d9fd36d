// SPDX-License-Identifier: Apache-2.0
// What went wrong, as a value. The library throws nothing; every call that can fail returns
// Result<T>. A message names the device, the offset where there is one, the cause and the remedy.
#pragma once

#include <expected>
#include <string>

#include "qlcshape/api.h"

namespace qlcshape {

enum class Errc {
    invalid_argument,  // the caller's request or configuration is wrong; nothing was changed
    busy,              // a limit is reached; try again when earlier requests have completed
    not_found,         // no such volume or device
    exists,            // the name is taken, or the device already holds data
    no_space,          // less is free than was asked for
    missing_device,    // a member of the array is missing
    device_failed,     // a device is there, and dead or silent so that it can't be opened
    foreign_device,    // a device belongs to another array, or to none
    stale_device,      // a device missed writes that the others have
    duplicate_device,  // two paths lead to the same member
    damaged,           // bytes on media fail their checks and can't be rebuilt
    media_error,       // these blocks can't be read, and parity could not reconstruct them
    io_error,          // a device reported a failure
    read_only,         // the array is open read-only
    unsupported,       // a version or feature of the disk format that this program lacks
    closed,            // the engine is shutting down
    no_memory,         // the system is out of memory or threads; the message names the limit
};

// A word for the code, as it appears in messages and in JSON ("media_error").
QLCSHAPE_API const char* to_string(Errc code);

struct Error {
    Errc code = Errc::io_error;
    std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

using Status = Result<void>;

}  // namespace qlcshape
