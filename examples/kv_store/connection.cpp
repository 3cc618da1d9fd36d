// SPDX-License-Identifier: Apache-2.0
#include "kv_store/connection.h"

#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace kv_store {

namespace {

// Enough to keep the drives busy for one client alone. Counted in arguments, since one MGET is as
// many reads; one command is always started.
constexpr std::size_t kMaxArgumentsUnderWay = 512;
constexpr std::size_t kMaxCommandBytesUnderWay = kMaxCommandBytes;
constexpr std::size_t kMaxUnsentBytes = 1 << 20;
constexpr std::size_t kReceiveBytes = 64 << 10;

// Web pages can have a browser send requests to a local port. Their lines must not be taken for
// inline commands.
bool is_http(const std::string& command) {
    return strcasecmp(command.c_str(), "post") == 0 || strcasecmp(command.c_str(), "host:") == 0;
}

}  // namespace

Connection::Connection(int fd, Commands& commands, std::function<void(Connection&)> changed)
    : fd_(fd), commands_(commands), changed_(std::move(changed)) {
    commands_.begin_session(session_);
}

Connection::~Connection() {
    commands_.end_session(session_);
    close(fd_);
}

bool Connection::may_start() const {
    return !stopped_ && !gone_ && arguments_ < kMaxArgumentsUnderWay &&
           command_bytes_ < kMaxCommandBytesUnderWay &&
           held_bytes_ + out_.size() - sent_ < kMaxUnsentBytes;
}

void Connection::receive() {
    char bytes[kReceiveBytes];
    const ssize_t got = recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got > 0) {
        parser_.feed({bytes, static_cast<std::size_t>(got)});
    } else if (got == 0) {
        ended_ = true;
    } else if (errno != EAGAIN && errno != EINTR) {
        gone_ = true;
    }
}

void Connection::advance() {
    advancing_ = true;
    do {
        send_replies();
    } while (start_commands());
    advancing_ = false;
}

bool Connection::start_commands() {
    bool started = false;
    while (may_start()) {
        auto command = parser_.next();
        if (command && !*command) return started;
        started = true;
        if (command) {
            start(std::move(**command));
            continue;
        }
        replies_.push_back(std::make_shared<Reply>());
        answer(*replies_.back(), resp::error("ERR " + command.error()));
        stopped_ = true;
    }
    return started;
}

void Connection::start(Command command) {
    if (is_http(command.arguments[0])) return drop();
    auto reply = std::make_shared<Reply>();
    reply->arguments = command.arguments.size();
    reply->command_bytes = command.bytes;
    arguments_ += reply->arguments;
    command_bytes_ += reply->command_bytes;
    replies_.push_back(reply);
    if (strcasecmp(command.arguments[0].c_str(), "quit") == 0) {
        answer(*reply, resp::simple("OK"));
        stopped_ = true;
        return;
    }
    // The client may go before its command is done.
    commands_.run(std::move(command.arguments), session_,
                  [reply, self = weak_from_this()](std::string text) {
                      if (const auto connection = self.lock()) {
                          connection->answer(*reply, std::move(text));
                      }
                  });
}

void Connection::answer(Reply& reply, std::string text) {
    held_bytes_ += text.size();
    reply.text = std::move(text);
    reply.ready = true;
    if (!std::exchange(advancing_, true)) changed_(*this);
}

void Connection::send_replies() {
    while (!replies_.empty() && replies_.front()->ready) {
        const Reply& reply = *replies_.front();
        out_ += reply.text;
        held_bytes_ -= reply.text.size();
        arguments_ -= reply.arguments;
        command_bytes_ -= reply.command_bytes;
        replies_.pop_front();
    }
    while (wants_to_write()) {
        const ssize_t sent =
            send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) {
            gone_ = gone_ || errno != EAGAIN;
            break;
        }
        sent_ += static_cast<std::size_t>(sent);
    }
    // A client that always leaves some of it unread must not let it grow.
    if (sent_ == out_.size() || sent_ > kMaxUnsentBytes) {
        out_.erase(0, sent_);
        sent_ = 0;
        if (out_.empty() && out_.capacity() > kMaxUnsentBytes) out_ = {};
    }
}

}  // namespace kv_store
