// SPDX-License-Identifier: Apache-2.0
#include "tools/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "tools/tell.h"

namespace qlcshape::tools {

namespace {

constexpr ::off_t kMostBytes = 1 << 20;
constexpr const char* kRemedy = "name a file with a line NAME:HEX for each client (psktool)";

bool is_key(std::string_view line) {
    const std::size_t colon = line.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    const std::string_view key = line.substr(colon + 1);
    return !key.empty() && key.size() % 2 == 0 &&
           std::ranges::all_of(key, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// The message has no part of a line: it may be a key.
Status check_lines(std::string_view text, const std::string& path) {
    int number = 0, keys = 0;
    while (!text.empty()) {
        ++number;
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() || (line.starts_with('#') && !is_key(line))) continue;
        if (!is_key(line)) {
            return fail(Errc::invalid_argument, "--tls-psk {}: line {} is not NAME:HEX; {}", path,
                        number, kRemedy);
        }
        ++keys;
    }
    if (keys > 0) return {};
    return fail(Errc::invalid_argument, "--tls-psk {}: there is no key in it; {}", path, kRemedy);
}

}  // namespace

Status check_key_file(const std::string& path) {
    const auto cannot_read = [&] {
        return fail(Errc::invalid_argument, "--tls-psk {}: can't be read: {}; {}", path,
                    std::strerror(errno), kRemedy);
    };
    const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return cannot_read();
    struct stat status {};
    const bool known = ::fstat(fd, &status) == 0;
    if (!known || !S_ISREG(status.st_mode) || status.st_size > kMostBytes) {
        ::close(fd);
        return fail(Errc::invalid_argument, "--tls-psk {}: it is not a file of keys; {}", path,
                    kRemedy);
    }
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    const ssize_t got = ::read(fd, text.data(), text.size());
    const int cause = errno;
    ::close(fd);
    errno = cause;
    if (got < 0) return cannot_read();
    text.resize(static_cast<std::size_t>(got));
    if (const Status keys = check_lines(text, path); !keys) return keys;
    if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        tell("qlcshape serve: --tls-psk {}: all users may read or change the keys; chmod o= it\n",
             path);
    }
    return {};
}

}  // namespace qlcshape::tools
