#include "kv_store/connection.h"

#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace kv_store {

namespace {

constexpr std::size_t kMaxCommandsUnderWay = 64;
constexpr std::size_t kMaxCommandBytesUnderWay = kMaxCommandBytes;
constexpr std::size_t kMaxUnsentBytes = 1 << 20;
constexpr std::size_t kReceiveBytes = 64 << 10;

}  // namespace

Connection::Connection(int fd, Commands& commands, std::function<void(Connection&)> changed)
    : fd_(fd), commands_(commands), changed_(std::move(changed)) {}

Connection::~Connection() { close(fd_); }

bool Connection::has_room() const {
    return replies_.size() < kMaxCommandsUnderWay && command_bytes_ < kMaxCommandBytesUnderWay &&
           out_.size() - sent_ < kMaxUnsentBytes;
}

void Connection::receive() {
    char bytes[kReceiveBytes];
    const ssize_t got = recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got > 0) {
        parser_.feed({bytes, static_cast<std::size_t>(got)});
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        gone_ = true;
    }
}

void Connection::advance() {
    start_commands();
    send_replies();
}

void Connection::start_commands() {
    while (wants_to_read()) {
        auto command = parser_.next();
        if (!command) {
            auto reply = std::make_shared<Reply>();
            reply->text = resp::error("ERR " + command.error());
            reply->ready = true;
            replies_.push_back(std::move(reply));
            stopped_ = true;
            return;
        }
        if (!*command) return;
        start(std::move(**command));
    }
}

void Connection::start(Command command) {
    auto reply = std::make_shared<Reply>();
    reply->command_bytes = command.bytes;
    command_bytes_ += command.bytes;
    replies_.push_back(reply);
    if (strcasecmp(command.arguments[0].c_str(), "quit") == 0) {
        reply->text = resp::simple("OK");
        reply->ready = true;
        stopped_ = true;
        return;
    }
    // The client may go before its command is done.
    commands_.run(std::move(command.arguments), [reply, self = weak_from_this()](std::string text) {
        reply->text = std::move(text);
        reply->ready = true;
        if (const auto connection = self.lock()) connection->changed_(*connection);
    });
}

void Connection::send_replies() {
    while (!replies_.empty() && replies_.front()->ready) {
        out_ += replies_.front()->text;
        command_bytes_ -= replies_.front()->command_bytes;
        replies_.pop_front();
    }
    while (wants_to_write()) {
        const ssize_t sent =
            send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) {
            gone_ = gone_ || errno != EAGAIN;
            return;
        }
        sent_ += static_cast<std::size_t>(sent);
    }
    out_.clear();
    sent_ = 0;
}

}  // namespace kv_store
