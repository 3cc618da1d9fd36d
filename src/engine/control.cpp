#include "engine/control.h"

#include <pthread.h>
#include <sys/socket.h>

#include <chrono>
#include <sstream>
#include <utility>

#include "engine/engine_impl.h"
#include "engine/stats_json.h"

namespace qlcshape {

namespace {

constexpr std::size_t kMostRequestBytes = 4096;
constexpr std::size_t kMostConnections = 16;  // more wait
constexpr int kTimeoutSeconds = 5;            // for a client that does not send or receive
constexpr std::chrono::milliseconds kAfterFailure(100);

}  // namespace

Control::Control(const Options& options, Engine::Impl& engine)
    : options_(options), engine_(engine) {
    const Stats stats = engine_.core().stats();
    auto socket = listen_at(stats.array_uuid);
    if (!socket) {
        log(options_, LogLevel::warning,
            "array {}: {}; the command can't see into it or change its volumes while it is open",
            stats.array_name, socket.error().message);
        return;
    }
    listener_.emplace(std::move(*socket));
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "qs-control");
}

Control::~Control() {
    if (!thread_.joinable()) return;
    stop_ = true;
    listener_->end();  // wakes who accepts, and those who receive
    thread_.join();
    for (Connection& connection : connections_) {
        if (!connection.done) ::shutdown(connection.client.fd(), SHUT_RD);
        connection.thread.join();
    }
}

void Control::run() {
    while (!stop_) accept_one();
}

// Each on a thread of its own, since a change may take long.
void Control::accept_one() {
    Socket client(::accept4(listener_->fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.fd() < 0 && !stop_) std::this_thread::sleep_for(kAfterFailure);  // no more files
    if (client.fd() < 0 || !client.same_user()) return;
    while (connections_.size() == kMostConnections ||
           (!connections_.empty() && connections_.front().done)) {
        connections_.front().thread.join();
        connections_.pop_front();
    }
    Connection& connection = connections_.emplace_back(std::move(client));
    connection.thread = std::thread([this, &connection] {
        serve(connection.client);
        connection.done = true;
    });
    pthread_setname_np(connection.thread.native_handle(), "qs-asked");
}

void Control::serve(const Socket& client) {
    client.set_timeout(kTimeoutSeconds);
    const auto request = client.receive(kMostRequestBytes);
    // Without a request it only wanted to know whether somebody is here.
    if (request && !request->empty()) static_cast<void>(client.send(answer(*request)));
    client.end();
}

std::string Control::answer(const std::string& request) {
    if (request == "stats") return "done\n" + to_json(engine_.core().stats());
    const Status changed = change(request);
    if (changed) return "done\n";
    return fmt::format("{} {}", static_cast<int>(changed.error().code), changed.error().message);
}

Status Control::change(const std::string& request) {
    std::istringstream words(request);
    std::string verb;
    std::string name;
    std::uint64_t bytes = 0;
    words >> verb >> name >> bytes;
    if (verb == "create") return engine_.create_volume(name, bytes);
    if (verb == "resize") {
        QS_TRY(engine_.core().refuse_loss(name, bytes));
        return engine_.resize_volume(name, bytes);
    }
    if (verb == "delete") {
        QS_TRY(engine_.core().refuse_loss(name, 0));
        return engine_.delete_volume(name);
    }
    return fail(Errc::unsupported,
                "the process that has the array open does not know \"{}\": is it of this version?",
                verb);
}

}  // namespace qlcshape
