// SPDX-License-Identifier: Apache-2.0
// The files and memory that making an array makes, or makes larger: as they were before where it is
// refused after all. So a create that fails leaves no files that a second attempt would find in its
// way, and none that take space.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/device.h"
#include "qlcshape/options.h"

namespace qlcshape {

class MadeFiles {
  public:
    MadeFiles() = default;
    ~MadeFiles();  // when the devices are closed: puts back what was changed, unless it is kept
    MadeFiles(const MadeFiles&) = delete;
    MadeFiles& operator=(const MadeFiles&) = delete;

    // For writing; what is not there is made.
    Result<std::unique_ptr<Device>> open(const DeviceOptions& device);
    void keep() { changed_.clear(); }

  private:
    struct Changed {
        std::string path;
        std::optional<std::uint64_t> bytes;  // before; none: it was not there
    };
    std::vector<Changed> changed_;
};

}  // namespace qlcshape
