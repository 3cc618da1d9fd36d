// SPDX-License-Identifier: Apache-2.0
// One queue of a device: takes the kernel's requests, has the volume carry them out, and tells the
// kernel how they ended. All of it runs on the queue's own thread, but for the end of a request,
// which comes on one of the engine's: that one puts the request into a mailbox, and wakes the
// queue where it sleeps.
//
// No wake-up is lost: the queue says that it will sleep and then looks into the mailbox, the engine
// puts the request there and then looks whether the queue sleeps. Whichever is later sees the
// other.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/fifo.h"
#include "base/mailbox.h"
#include "qlcshape/volume.h"
#include "tools/ublk/kernel.h"

namespace qlcshape::ublk {

// A slot of the queue has something: a request (result 0), or its end (result < 0: -ENODEV when
// the device was stopped).
struct Arrival {
    std::uint16_t tag;
    int result;
};

// The kernel's side of a queue: a ring, or a test's.
class Link {
  public:
    virtual ~Link() = default;
    virtual const ublksrv_io_desc& description(std::uint16_t tag) const = 0;
    // Say that the slot takes a request, with its data at `buffer`; after a commit it takes the
    // next one. Both may wait for receive() to reach the kernel.
    virtual void fetch(std::uint16_t tag, std::byte* buffer) = 0;
    virtual void commit(std::uint16_t tag, std::byte* buffer, int result) = 0;
    enum class Wait { no, briefly, until_something };
    // What has arrived, added to `arrivals`. Waits for an arrival or wake(): not at all, a
    // millisecond, or until there is one. False: the queue can't go on.
    virtual bool receive(Wait wait, std::vector<Arrival>& arrivals) = 0;
    // From any thread.
    virtual void wake() = 0;
};

class Queue {
  public:
    using Submit = std::function<Status(Request)>;
    // An error of a request, for the log. On the queue's thread.
    using Report = std::function<void(const Error&)>;

    // `memory`: for the data of `depth` requests. All must outlive the queue, and the queue must
    // outlive the engine's last `done`: destroy it when the engine has been closed.
    Queue(Link& link, std::uint16_t depth, std::span<std::byte> memory, Submit submit,
          Report report);

    // Offers all slots to the kernel. An error where it refuses one.
    Status arm();
    // One round, with a wait where there is nothing to do. False: it has ended, since all slots
    // have, or after leave().
    bool turn();
    // From any thread: carries out what was begun, begins nothing more, and ends. What the kernel
    // has for it meanwhile it gives to the device's next server.
    void leave();

  private:
    struct Slot {
        Slot* mail_next = nullptr;
        Slot* next = nullptr;
        std::uint16_t tag = 0;
        std::byte* buffer = nullptr;
        int good = 0;  // its result when it went well
        Status status;
    };

    void arrived(const Arrival& arrival);
    void submit(Slot& slot);
    void finish(Slot& slot, const Status& status);
    void put_back(Slot& slot, Status status);
    Link::Wait about_to_wait();
    void retry_refused();

    Link& link_;
    const Submit submit_;
    const Report report_;
    const std::size_t slot_bytes_;
    std::vector<Slot> slots_;
    std::vector<Arrival> arrivals_;
    Fifo<Slot> refused_;           // as many requests as the engine takes were in flight
    std::uint32_t in_flight_ = 0;  // in the engine
    std::uint32_t ended_ = 0;      // slots that the kernel ended
    Mailbox<Slot> mailbox_;        // ended in the engine
    std::atomic<bool> asleep_{false};
    std::atomic<bool> leaving_{false};
};

// The result that the kernel is given for an error: -errno.
int result_of(const Error& error);

}  // namespace qlcshape::ublk
