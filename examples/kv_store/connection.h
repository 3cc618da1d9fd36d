// SPDX-License-Identifier: Apache-2.0
// One client: bytes in, commands, replies in the order of the commands, bytes out.
//
// There are limits on what a client may have under way. Whatever ends below such a limit must start
// what waits behind it: advance() goes on until nothing more can be started or sent, and it is
// called whenever the socket or a reply that came gives it something to do.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "kv_store/commands.h"
#include "kv_store/resp.h"
#include "kv_store/session.h"

namespace kv_store {

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    // Owns the socket. `changed` is called when a reply has come, so that the loop calls advance().
    Connection(int fd, Commands& commands, std::function<void(Connection&)> changed);
    ~Connection();
    Connection(const Connection&) = delete;

    int fd() const { return fd_; }

    void receive();  // the socket is readable
    // Starts commands, as many as may be under way, and sends the replies that are due.
    void advance();
    void stop() { stopped_ = true; }  // no command is started any more
    void drop() { gone_ = true; }

    // A slow client, or one that asks for much, is not read from until it has taken its replies.
    bool wants_to_read() const { return !ended_ && may_start(); }
    bool wants_to_write() const { return !gone_ && sent_ < out_.size(); }
    // After advance(): nothing can come of this connection any more.
    bool over() const {
        return gone_ || ((stopped_ || ended_) && replies_.empty() && !wants_to_write());
    }

  private:
    struct Reply {
        std::string text;
        bool ready = false;
        std::size_t arguments = 0, command_bytes = 0;
    };

    bool may_start() const;
    bool start_commands();  // whether there was one
    void start(Command command);
    void answer(Reply& reply, std::string text);
    void send_replies();

    int fd_;
    Commands& commands_;
    std::function<void(Connection&)> changed_;
    Session session_;
    RespParser parser_;
    std::deque<std::shared_ptr<Reply>> replies_;  // of commands under way, in order
    std::size_t arguments_ = 0;                   // of those
    std::size_t command_bytes_ = 0;               // likewise
    std::size_t held_bytes_ = 0;                  // of replies that wait for one before them
    std::string out_;
    std::size_t sent_ = 0;    // of out_
    bool advancing_ = false;  // or about to: `changed_` needn't be called
    bool stopped_ = false;
    bool ended_ = false;  // the client sends no more, but may still read
    bool gone_ = false;   // the client is
};

}  // namespace kv_store
