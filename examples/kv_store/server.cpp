#include "kv_store/server.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace kv_store {

constexpr std::size_t kMaxClients = 256;

Server::Server(Store& store, Commands& commands, int listener, int signals)
    : store_(store),
      commands_(commands),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      listener_(listener),
      signals_(signals) {
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    watch(listener_);
    watch(signals_);
    watch(store_.event_fd());
}

Server::~Server() {
    close(listener_);
    close(epoll_);
}

void Server::watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
}

void Server::run() {
    std::array<epoll_event, 64> events;
    while (!stopping_ || !store_.idle()) {
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            handle(event.data.fd, (event.events & (EPOLLHUP | EPOLLERR)) != 0);
        }
        // All commands that came are tasks by now: those of one bucket go out together. A reply can
        // make room for the commands behind it, and those may be answered at once.
        do {
            store_.run();
            for (const auto& changed : std::exchange(changed_, {})) {
                if (const auto connection = changed.lock()) advance(*connection);
            }
        } while (!changed_.empty());
    }
}

void Server::handle(int fd, bool hung_up) {
    if (fd == listener_) return accept_clients();
    if (fd == signals_) return stop();
    const auto client = clients_.find(fd);
    if (client == clients_.end()) return;  // the store, which run() asks in any case
    const auto connection = client->second;
    if (connection->wants_to_read()) {
        connection->receive();
    } else if (hung_up) {  // told again and again, though we don't read
        connection->drop();
    }
    advance(*connection);
}

void Server::accept_clients() {
    for (;;) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        if (clients_.size() == kMaxClients) {
            const std::string full = resp::error("ERR max number of clients reached");
            static_cast<void>(send(fd, full.data(), full.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
            close(fd);
            continue;
        }
        clients_[fd] = std::make_shared<Connection>(fd, commands_, [this](Connection& connection) {
            changed_.push_back(connection.weak_from_this());
        });
        watch(fd);
    }
}

void Server::advance(Connection& connection) {
    connection.advance();
    const int fd = connection.fd();
    if (connection.over()) {
        clients_.erase(fd);  // closes it, and epoll forgets it
        return;
    }
    epoll_event event{};
    event.events =
        (connection.wants_to_read() ? EPOLLIN : 0u) | (connection.wants_to_write() ? EPOLLOUT : 0u);
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Server::stop() {
    signalfd_siginfo info;
    static_cast<void>(!read(signals_, &info, sizeof(info)));
    stopping_ = true;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
    for (const auto& [fd, connection] : clients_) connection->stop_reading();
}

}  // namespace kv_store
