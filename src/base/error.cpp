// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

namespace qlcshape {

const char* to_string(Errc code) {
    switch (code) {
        case Errc::invalid_argument:
            return "invalid_argument";
        case Errc::busy:
            return "busy";
        case Errc::not_found:
            return "not_found";
        case Errc::exists:
            return "exists";
        case Errc::no_space:
            return "no_space";
        case Errc::missing_device:
            return "missing_device";
        case Errc::device_failed:
            return "device_failed";
        case Errc::foreign_device:
            return "foreign_device";
        case Errc::stale_device:
            return "stale_device";
        case Errc::duplicate_device:
            return "duplicate_device";
        case Errc::damaged:
            return "damaged";
        case Errc::media_error:
            return "media_error";
        case Errc::io_error:
            return "io_error";
        case Errc::read_only:
            return "read_only";
        case Errc::unsupported:
            return "unsupported";
        case Errc::closed:
            return "closed";
        case Errc::no_memory:
            return "no_memory";
    }
    return "unknown";
}

}  // namespace qlcshape
