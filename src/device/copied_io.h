// SPDX-License-Identifier: Apache-2.0
// A transfer made with memory of its own, so that whoever asked for it can be told that it failed
// while the drive may still read or write that memory.
#pragma once

#include <cstdlib>
#include <memory>

#include "device/transfer.h"

namespace qlcshape {

struct CopiedIo : Io {
    Io* original;  // null once its owner was told

    explicit CopiedIo(Io& io);
    // False where there is no memory for it.
    bool good() const {
        return memory_ != nullptr || (kind != IoKind::read && kind != IoKind::write);
    }
    // Brings what was read, and the outcome, to the original.
    void bring_back();

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace qlcshape
