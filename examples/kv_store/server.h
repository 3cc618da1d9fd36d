// The event loop: one thread that waits for clients, for the store's transfers and for the signal
// to stop, and then moves what can be moved.
#pragma once

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
    // Owns `listener`. `signals` is a signalfd; what it reads stops the server.
    Server(Store& store, Commands& commands, int listener, int signals);
    ~Server();
    Server(const Server&) = delete;

    // Until it is told to stop; then commands under way are finished and answered.
    void run();

  private:
    void watch(int fd);
    void handle(int fd, bool hung_up);
    void accept_clients();
    void advance(Connection& connection);
    void stop();

    Store& store_;
    Commands& commands_;
    int epoll_, listener_, signals_;
    bool stopping_ = false;
    std::unordered_map<int, std::shared_ptr<Connection>> clients_;
    std::vector<std::weak_ptr<Connection>> changed_;  // something is to be sent
};

}  // namespace kv_store
