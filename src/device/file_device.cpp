// SPDX-License-Identifier: Apache-2.0
#include "device/file_device.h"

#include <sys/stat.h>

#include "device/blocking_io.h"
#include "device/medium.h"

namespace qlcshape {

namespace {

std::string medium_at(int fd) {
    struct stat status {};
    return ::fstat(fd, &status) == 0 ? medium_of(status) : "";
}

}  // namespace

FileDevice::FileDevice(std::string path, Geometry geometry, std::shared_ptr<const OpenFile> file,
                       bool discards)
    : Device(std::move(path), geometry, medium_at(file->fd)),
      file_(std::move(file)),
      discards_(discards) {}

void FileDevice::start(Io& io, IoQueue& queue) {
    if (io.kind == IoKind::discard && !discards_) {
        queue.complete(io, 0);
    } else if (Ring* ring = queue.ring()) {
        ring->start(io, file_);
    } else {
        queue.complete(io, transfer_now(io, *file_));
    }
}

// A blocking call has ended when it returns, so what is under way is in the ring.
bool FileDevice::hand_over(Io& io, Io& heir, IoQueue& queue) {
    return queue.ring()->hand_over(io, heir);
}

}  // namespace qlcshape
