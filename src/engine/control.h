// SPDX-License-Identifier: Apache-2.0
// Lets other processes of the same user look at an open array and change its volumes, so that the
// command works on an array that is being served; they do it by admin/holder.h. A connection
// carries one request and its answer. A request is a line with the drives that the asker means
// (their medium_of(), blanks between), and:
//
//   stats                  done\n and Stats as JSON
//   create NAME BYTES      done\n, or the error's number, a blank and its message
//   resize NAME BYTES
//   delete NAME
//   scrub start BYTES      a second; 0: as fast as it goes
//   scrub stop
//   replace                done\n and which drive it is, as "qlc 3"; each on a line of its own: the
//                          old drive, the new one's path, its size, and 1 to use it though it
//                          holds data
//   fail                   likewise; on a line of its own: the drive that is to go out; also
//   drain, drain stop, remove
//   holds NAME BYTES       done\n, and yes where the volume holds data from there on
//
// Where a drive is not the array's nothing is done, and the answer is "other " and its medium.
//
// A volume to which the program has a handle is not deleted, nor made smaller: who uses it would
// lose what it uses.
//
//   qs-control    accepts at the sockets of all drives; others of this user only
//   qs-asked      one per connection, at most 16: a resize may take minutes, `status` must not wait
//                 for it. Each calls what any caller of the engine may; closing waits for them
//
// The drives are named in each request because a copy of an array has its UUID and its names: only
// the medium says which of the two is open here.
#pragma once

#include <atomic>
#include <list>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "admin/control_socket.h"
#include "engine/limits.h"
#include "qlcshape/engine.h"

namespace qlcshape {

class Control {
  public:
    // Both must outlive it. Where there can be no socket the log is told, and nobody can ask.
    // `named`: the options as the array file has them, before spares were sorted out.
    Control(const Options& options, const Options& named, Engine::Impl& engine);
    // When what has been asked is done. A client that has not sent all of its request is cut off.
    ~Control();

  private:
    struct Connection {
        explicit Connection(Socket socket) : client(std::move(socket)) {}
        Socket client;
        std::atomic<bool> done{false};
        JobThread thread;
    };

    void run();
    Status listen();
    void accept_some();
    void accept_at(const Socket& listener);
    void drop_ended();
    void serve(const Socket& client);
    std::string answer(const std::string& request);
    std::optional<std::string> other_drive(const std::string& named) const;
    Result<std::string> carry_out(const std::string& request);
    Result<std::string> replace(const std::string& request);
    Result<std::string> of_drive(const std::string& verb, const std::string& drive);
    std::vector<std::string> media() const;

    const Options& options_;
    std::vector<std::string> named_;  // media that the array file named at the opening
    Engine::Impl& engine_;
    std::vector<Socket> listeners_;
    std::atomic<bool> stop_{false};
    std::list<Connection> connections_;
    JobThread thread_;
};

}  // namespace qlcshape
