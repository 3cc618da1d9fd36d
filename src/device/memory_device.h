// SPDX-License-Identifier: Apache-2.0
// A drive in RAM, for tests, demos and simulated journal devices. It lives as long as the process,
// under its name, so that closing and reopening finds what was written.
//
// Any number of threads may transfer at once, as long as their ranges don't overlap. Contents are
// lost only when the process ends, so there is no volatile cache. A discard is treated as advice,
// and leaves the bytes as they are.
#pragma once

#include <memory>
#include <string>

#include "device/device.h"

namespace qlcshape {

inline constexpr char kMemoryPrefix[] = "memory:";

struct Medium;

class MemoryDevice final : public Device {
  public:
    MemoryDevice(std::string path, Geometry geometry, std::shared_ptr<Medium> medium,
                 Access access);
    ~MemoryDevice() override;

    void start(Io& io, IoQueue& queue) override;

  private:
    std::shared_ptr<Medium> medium_;
    const Access access_;
};

// As open_device(); `path` begins with kMemoryPrefix.
Result<std::unique_ptr<Device>> open_memory_device(const std::string& path,
                                                   std::uint64_t size_bytes, Access access,
                                                   bool make);

// As medium_of().
std::string memory_medium_of(const std::string& path);

}  // namespace qlcshape
