// SPDX-License-Identifier: Apache-2.0
// The Unix socket at which the process that has an array open can be asked, and what goes over it:
// each side sends a text and ends. One for each drive, in Linux's abstract namespace under the
// drive's medium_of(), so that a copy of an array is not taken for it, there is no path to agree
// on, and it goes with the process. It has no mode: both sides look whose process the other one is.
// A network namespace has abstract sockets of its own.
//
//   asker                                        holder of the array
//   connect_to(): "\0qlcshape/" + medium   -->   accept
//   same_user()? or it is told nothing           same_user()? or it is closed
//   send(request), end of sending          -->   receive() until that end
//   receive() until the end                <--   send(answer), end of sending
//
// No answer, or one without its end, is an error: the request may have been carried out or not.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"

namespace qlcshape {

// A file descriptor that is closed.
class Socket {
  public:
    explicit Socket(int fd = -1) : fd_(fd) {}
    Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    Socket& operator=(Socket&&) = delete;
    ~Socket();
    int fd() const { return fd_; }

    // Whether this process's user is the other side's.
    bool same_user() const;
    // The other side; of a connection to a listener, who listens. 0: it can't be seen from here.
    pid_t peer() const;
    // How long one send or receive may wait; 0: for ever.
    void set_timeout(int seconds) const;
    // Whether the other side waits for nothing any more.
    bool peer_is_gone() const;
    // Nothing comes or goes any more; who waits for it is woken.
    void end() const;
    // Sends it all, and says that this was it.
    bool send(const std::string& text) const;
    // What comes until the other side says so; an error if that does not happen, or if it is more
    // than `most` bytes. Error busy: nothing came in time, and may still.
    Result<std::string> receive(std::size_t most) const;

  private:
    int fd_;
};

// A number and nothing else, as requests and answers have them.
std::optional<std::uint64_t> parse_number(const std::string& text);

// Tries for a moment where the medium's socket is taken: by a process that has ended just now, or
// by another reader. accept() does not wait.
Result<Socket> listen_at(const std::string& medium);
// Error not_found: nobody of this process's user listens there. Sends and receives wait 5 s.
Result<Socket> connect_to(const std::string& medium);

}  // namespace qlcshape
