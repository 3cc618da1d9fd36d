// SPDX-License-Identifier: Apache-2.0
// A transfer that is the queue's own, so that whoever asked for it can be told that it failed while
// the drive still has it:
//
//   copy    the drive reads and writes memory of its own
//   heir    takes the place of an Io that is under way, whose memory the drive goes on using
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "base/lent.h"
#include "device/transfer.h"
#include "device/unanswered.h"

namespace qlcshape {

class DriveLock;

struct OwnIo : Io {
    Io* original = nullptr;  // of a copy

    // Null where there is no memory.
    static std::unique_ptr<OwnIo> copy_of(Io& io);
    static std::unique_ptr<OwnIo> heir_of(const Io& io);

    // From now on nobody but the drive has to do with it: while this lives the drive stays locked,
    // and whatever memory of others it uses stays. False where there is no memory to note that.
    bool leave_to_drive();
    // Likewise, where nobody will hear of its end: the memory stays as long as the process, and the
    // kernel unlocks the drive.
    void leave_for_good();
    // Brings what was read, and the outcome, to the original.
    void bring_back();

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    explicit OwnIo(const Io& io) : Io(io) {}

    std::unique_ptr<std::byte, Free> memory_;
    std::vector<iovec> parts_;
    std::shared_ptr<const DriveLock> lock_;
    std::optional<Unanswered> unanswered_;
    std::optional<Lent> lent_;
};

}  // namespace qlcshape
