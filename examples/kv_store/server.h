// SPDX-License-Identifier: Apache-2.0
// The event loop: one thread that waits for clients, for the store's transfers and for being told
// to stop, and then moves what can be moved.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "kv_store/commands.h"
#include "kv_store/connection.h"
#include "kv_store/store.h"

namespace kv_store {

class Server {
  public:
    static constexpr std::size_t kMaxClients = 1024;

    // Owns `listener`. The server stops when `stop_fd` is readable.
    Server(Store& store, Commands& commands, int listener, int stop_fd);
    ~Server();
    Server(const Server&) = delete;

    // Until it is told to stop; then commands under way are finished and answered.
    void run();

  private:
    struct Client {
        std::shared_ptr<Connection> connection;
        std::uint32_t watched = 0;  // epoll's events
    };

    bool watch(int fd, std::uint32_t events);
    void handle(int fd, bool hung_up);
    void move();
    void accept_clients();
    void accept(int fd);
    void pause_accepting();
    void advance(Connection& connection);
    void stop();

    Store& store_;
    Commands& commands_;
    int epoll_, listener_, stop_fd_;
    bool accepting_ = true;
    bool told_pause_ = false;
    bool stopping_ = false;
    std::unordered_map<int, Client> clients_;
    std::vector<std::weak_ptr<Connection>> changed_;  // replies have come
};

}  // namespace kv_store
