// SPDX-License-Identifier: Apache-2.0
// A drive as it would be found after a power cut now: reads see what is durable on the media, and
// answer at once. No event of the simulated world comes of them, and no chance is drawn. Read-only.
#pragma once

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "device/device.h"
#include "sim/sim_media.h"

namespace qlcshape::sim {

class StillDevice : public Device {
  public:
    explicit StillDevice(const Media& media) : Device(media.name, media.geometry), media_(media) {
        set_read_only();
    }
    void start(Io& io, IoQueue& queue) override {
        if (media_.unreadable(io.offset, io.bytes)) return queue.complete(io, EIO);
        std::memcpy(io.data, media_.bytes.get() + io.offset, io.bytes);
        queue.complete(io, 0);
    }

  private:
    const Media& media_;
};

// Of all these.
template <typename List>
std::vector<std::unique_ptr<Device>> still_devices(const List& media) {
    std::vector<std::unique_ptr<Device>> drives;
    for (const Media* m : media) drives.push_back(std::make_unique<StillDevice>(*m));
    return drives;
}

}  // namespace qlcshape::sim
