// SPDX-License-Identifier: Apache-2.0
// A kernel, driver or FUSE server that answers every transfer with "again".
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <memory>

#include "base/buffer.h"
#include "device/blocking_io.h"
#include "device/device.h"
#include "limits.h"

using namespace qlcshape;

namespace {

class OnFile final : public Device {
  public:
    explicit OnFile(int fd)
        : Device("again", Geometry{MiB, 4096, 4096, 0, 512, false}),
          file_(std::make_shared<const OpenFile>(fd)) {}
    void start(Io& io, IoQueue& queue) override { queue.complete(io, transfer_now(io, *file_)); }

  private:
    std::shared_ptr<const OpenFile> file_;
};

Status read_from(IoQueue& queue, Device& device) {
    const Buffer memory(kBlockBytes);
    return run(
        queue,
        {.kind = IoKind::read, .device = &device, .bytes = memory.size(), .data = memory.data()});
}

}  // namespace

TEST_CASE("device: a transfer that is answered with again for ever ends") {
    OnFile device(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    Status read;
    without_call(SYS_pread64, EAGAIN, [&] {
        IoQueue queue;
        queue.use_blocking_calls();
        read = read_from(queue, device);
    });
    REQUIRE_FALSE(read);
    CHECK(read.error().message.find("(errno 11)") != std::string::npos);
}
