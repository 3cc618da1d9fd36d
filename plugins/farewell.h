// SPDX-License-Identifier: Apache-2.0
// When told to end, nbdkit waits for its clients to leave. Those that stay are disconnected after a
// grace period; otherwise an idle client would keep the array open. If the engine has stopped for
// good while a client's thread is held inside the kernel, by a drive that does not answer, nbdkit
// would wait for ever: then the process ends.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace qlcshape {

class Farewell {
  public:
    static constexpr int kGraceMs = 5000;

    // When nbdkit listens and has its signal handlers, and nothing else here listens. Throws
    // std::system_error if no thread can be started. `stopped`: whether the engine
    // acknowledges nothing more; after `patience` of that the process ends.
    Farewell(std::function<bool()> stopped, std::chrono::milliseconds patience);
    // When no connection is left.
    ~Farewell();
    Farewell(const Farewell&) = delete;
    Farewell& operator=(const Farewell&) = delete;

  private:
    void run();
    void disconnect() const;

    void end_if_held();

    const std::function<bool()> stopped_;
    std::chrono::milliseconds patience_;  // left
    std::vector<std::string> listening_;  // the addresses, as bytes
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

}  // namespace qlcshape
