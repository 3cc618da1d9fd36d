// SPDX-License-Identifier: Apache-2.0
#include "device/blocking_io.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace qlcshape {

namespace {

int read_now(const Io& io, int fd) {
    std::uint32_t tries = 0;
    for (std::uint64_t moved = 0; moved < io.bytes;) {
        const ssize_t n =
            ::pread(fd, io.data + moved, io.bytes - moved, static_cast<off_t>(io.offset + moved));
        if (n < 0 && transient(errno) && ++tries < kMostTries) continue;
        if (n < 0) return errno;
        if (n == 0) return EIO;
        moved += static_cast<std::uint64_t>(n);
    }
    return 0;
}

int write_now(const Io& io, const OpenFile& file) {
    const int flags = io.durable && file.heeds_dsync ? RWF_DSYNC : 0;
    std::uint64_t at = io.offset;
    std::uint32_t tries = 0;
    int error_number = 0;
    io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
        while (bytes != 0 && error_number == 0) {
            const iovec rest{const_cast<std::byte*>(data), bytes};
            const ssize_t n = ::pwritev2(file.fd, &rest, 1, static_cast<off_t>(at), flags);
            if (n < 0 && transient(errno) && ++tries < kMostTries) continue;
            if (n <= 0) {
                error_number = n < 0 ? errno : EIO;
                return;
            }
            data += n;
            bytes -= static_cast<std::uint64_t>(n);
            at += static_cast<std::uint64_t>(n);
        }
    });
    const bool flush = error_number == 0 && io.durable && !file.heeds_dsync;
    return flush && ::fdatasync(file.fd) != 0 ? errno : error_number;
}

int punch_hole(const Io& io, int fd) {
    constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const int failed =
        ::fallocate(fd, kPunch, static_cast<off_t>(io.offset), static_cast<off_t>(io.bytes));
    return failed == 0 || errno == EOPNOTSUPP ? 0 : errno;
}

}  // namespace

int transfer_now(const Io& io, const OpenFile& file) {
    switch (io.kind) {
        case IoKind::read:
            return read_now(io, file.fd);
        case IoKind::write:
            return write_now(io, file);
        case IoKind::flush:
            return ::fdatasync(file.fd) == 0 ? 0 : errno;
        case IoKind::discard:
            return punch_hole(io, file.fd);
    }
    return EINVAL;
}

}  // namespace qlcshape
