#include "device/file_device.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace qlcshape {

namespace {

int move_bytes(const Io& io, int fd) {
    std::uint64_t moved = 0;
    while (moved < io.bytes) {
        const auto at = static_cast<off_t>(io.offset + moved);
        const ssize_t part = io.kind == IoKind::read
                                 ? ::pread(fd, io.data + moved, io.bytes - moved, at)
                                 : ::pwrite(fd, io.data + moved, io.bytes - moved, at);
        if (part < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (part < 0) return errno;
        if (part == 0) return EIO;
        moved += static_cast<std::uint64_t>(part);
    }
    return 0;
}

int punch_hole(const Io& io, int fd) {
    constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const int failed =
        ::fallocate(fd, kPunch, static_cast<off_t>(io.offset), static_cast<off_t>(io.bytes));
    return failed == 0 || errno == EOPNOTSUPP ? 0 : errno;
}

int transfer_now(const Io& io, int fd) {
    switch (io.kind) {
        case IoKind::read:
        case IoKind::write:
            return move_bytes(io, fd);
        case IoKind::flush:
            return ::fdatasync(fd) == 0 ? 0 : errno;
        case IoKind::discard:
            return punch_hole(io, fd);
    }
    return EINVAL;
}

}  // namespace

void FileDevice::start(Io& io, IoQueue& queue) {
    const bool changes = io.kind == IoKind::write || io.kind == IoKind::discard;
    if (changes && !writable_) {
        queue.complete(io, EROFS);
    } else if (io.kind == IoKind::discard && !discards_) {
        queue.complete(io, 0);
    } else if (Ring* ring = queue.ring()) {
        ring->start(io, file_);
    } else {
        queue.complete(io, transfer_now(io, file_->fd));
    }
}

}  // namespace qlcshape
