// SPDX-License-Identifier: Apache-2.0
// Regular files and block devices. Shared by all threads: each goes through its own io_uring, or
// through blocking calls where the kernel has none.
#pragma once

#include <memory>
#include <string>

#include "device/device.h"
#include "device/ring.h"

namespace qlcshape {

class FileDevice final : public Device {
  public:
    FileDevice(std::string path, Geometry geometry, std::shared_ptr<const OpenFile> file,
               bool discards);

    void start(Io& io, IoQueue& queue) override;
    bool hand_over(Io& io, Io& heir, IoQueue& queue) override;
    std::shared_ptr<const DriveLock> lock() const override { return file_; }
    bool wants_ring() const override { return true; }

  private:
    void release() override { file_->let_go(); }

    std::shared_ptr<const OpenFile> file_;
    // A regular file keeps its blocks: to punch holes would make every later flush wait for the
    // file system's journal.
    const bool discards_;
};

// As open_device().
Result<std::unique_ptr<Device>> open_file_device(const std::string& path, std::uint64_t size_bytes,
                                                 Access access, bool make);

}  // namespace qlcshape
