// SPDX-License-Identifier: Apache-2.0
#include "kv_store/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

namespace kv_store {

// How long nobody is accepted when file descriptors or memory have run out.
constexpr int kPauseMs = 100;

Server::Server(Store& store, Commands& commands, int listener, int stop_fd)
    : store_(store),
      commands_(commands),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      listener_(listener),
      stop_fd_(stop_fd) {
    if (epoll_ < 0 || !watch(listener_, EPOLLIN) || !watch(stop_fd_, EPOLLIN) ||
        !watch(store_.event_fd(), EPOLLIN)) {
        const int error = errno;
        close(epoll_);
        close(listener_);
        throw std::system_error(error, std::generic_category(), "epoll");
    }
}

Server::~Server() {
    close(listener_);
    close(epoll_);
}

bool Server::watch(int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Server::run() {
    std::array<epoll_event, 64> events;
    while (!stopping_ || !store_.idle()) {
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                     accepting_ ? -1 : kPauseMs);
        if (!accepting_ && !stopping_) accepting_ = watch(listener_, EPOLLIN);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            handle(event.data.fd, (event.events & (EPOLLHUP | EPOLLERR)) != 0);
        }
        move();
    }
}

// All commands that came are tasks by now: those of one bucket go out together. A reply can make
// room for the commands behind it, which are tasks again, or are answered at once. Nothing wakes
// the loop for any of these, so it sleeps only when there is none.
void Server::move() {
    do {
        store_.run();
        for (const auto& changed : std::exchange(changed_, {})) {
            if (const auto connection = changed.lock()) advance(*connection);
        }
    } while (store_.must_run() || !changed_.empty());
}

void Server::handle(int fd, bool hung_up) {
    if (fd == listener_) return accept_clients();
    if (fd == stop_fd_) return stop();
    const auto client = clients_.find(fd);
    if (client == clients_.end()) return;  // the store, which run() asks in any case
    const auto connection = client->second.connection;
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
        if (fd >= 0) {
            accept(fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            return pause_accepting();
        }  // else this one client was lost
    }
}

void Server::accept(int fd) {
    const bool full = clients_.size() == kMaxClients;
    if (full || !watch(fd, EPOLLIN)) {
        const std::string text = resp::error(full ? "ERR max number of clients reached"
                                                  : "ERR no resources for another client");
        static_cast<void>(send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
        close(fd);
        return;
    }
    // A pipeline's replies go out in parts: none may wait until the client acknowledged the one
    // before. Has no effect on a Unix socket.
    const int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    clients_[fd] = {
        std::make_shared<Connection>(
            fd, commands_,
            [this](Connection& connection) { changed_.push_back(connection.weak_from_this()); }),
        EPOLLIN};
}

// The client that couldn't be accepted stays in the listener's queue, which would wake the loop
// again and again. It is looked at later: a client may have gone by then.
void Server::pause_accepting() {
    if (!std::exchange(told_pause_, true)) {
        std::fprintf(stderr,
                     "kv_store: warning: can't accept more than %zu clients: %s; others wait until "
                     "one disconnects (see ulimit -n)\n",
                     clients_.size(), std::strerror(errno));
    }
    epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
    accepting_ = false;
}

void Server::advance(Connection& connection) {
    connection.advance();
    const int fd = connection.fd();
    const auto client = clients_.find(fd);
    if (client == clients_.end()) return;
    if (connection.over()) {
        clients_.erase(client);  // closes it, and epoll forgets it
        return;
    }
    epoll_event event{};
    event.events =
        (connection.wants_to_read() ? EPOLLIN : 0u) | (connection.wants_to_write() ? EPOLLOUT : 0u);
    event.data.fd = fd;
    if (event.events == client->second.watched) return;
    client->second.watched = event.events;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Server::stop() {
    stopping_ = true;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, stop_fd_, nullptr);
    if (accepting_) epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
    accepting_ = true;  // no need to look again
    for (const auto& [fd, client] : clients_) client.connection->stop();
}

}  // namespace kv_store
