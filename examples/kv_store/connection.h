// One client: bytes in, commands, replies in the order of the commands, bytes out.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "kv_store/commands.h"
#include "kv_store/resp.h"

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
    void stop_reading() { stopped_ = true; }
    void drop() { gone_ = true; }

    // A slow client, or one that asks for much, is not read from until it has taken its replies.
    bool wants_to_read() const { return !stopped_ && !gone_ && has_room(); }
    bool wants_to_write() const { return !gone_ && sent_ < out_.size(); }
    bool over() const { return gone_ || (stopped_ && replies_.empty() && !wants_to_write()); }

  private:
    struct Reply {
        std::string text;
        bool ready = false;
        std::size_t command_bytes = 0;
    };

    bool has_room() const;
    void start_commands();
    void start(Command command);
    void send_replies();

    int fd_;
    Commands& commands_;
    std::function<void(Connection&)> changed_;
    RespParser parser_;
    std::deque<std::shared_ptr<Reply>> replies_;  // of commands under way, in order
    std::size_t command_bytes_ = 0;               // of those
    std::string out_;
    std::size_t sent_ = 0;  // of out_
    bool stopped_ = false;  // no command is started any more
    bool gone_ = false;     // the client is
};

}  // namespace kv_store
