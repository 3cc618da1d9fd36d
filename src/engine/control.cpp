// SPDX-License-Identifier: Apache-2.0
#include "engine/control.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "admin/stats_json.h"
#include "device/medium.h"
#include "engine/engine_impl.h"
#include "engine/limits.h"

namespace qlcshape {

namespace {

constexpr std::size_t kMostRequestBytes = 16384;
constexpr std::size_t kMostConnections = 16;  // more wait
constexpr int kTimeoutSeconds = 5;            // for a client that does not send or receive
constexpr std::chrono::milliseconds kNap(10);

std::string error_text(const Error& error) {
    return fmt::format("{} {}", static_cast<int>(error.code), error.message);
}

}  // namespace

Control::Control(const Options& options, const Options& named, Engine::Impl& engine)
    : options_(options), engine_(engine) {
    for (const DeviceOptions& d : named.devices) named_.push_back(medium_of(d.path));
    const Status listening = listen();
    if (listening) return;
    log(options_, LogLevel::warning,
        "array {}: {}; while it is open the command can't query it or change its volumes",
        engine_.core().stats().array_name, listening.error().message);
    listeners_.clear();
}

Status Control::listen() {
    for (const Device* drive : engine_.core().drives()) {
        if (drive == nullptr) continue;
        auto socket = listen_at(drive->medium());
        if (!socket) return fail(socket.error());
        listeners_.push_back(std::move(*socket));
    }
    try {
        thread_ = JobThread([this] { run(); });
    } catch (const std::system_error& error) {
        return fail(no_more_threads("no thread to answer", error.what()));
    }
    pthread_setname_np(thread_.native_handle(), "qs-control");
    return {};
}

Control::~Control() {
    if (!thread_.joinable()) return;
    stop_ = true;
    listeners_.front().end();  // wakes who accepts
    thread_.join();
    for (Connection& connection : connections_) {
        // It may still send its answer, but waits for no request.
        if (!connection.done) ::shutdown(connection.client.fd(), SHUT_RD);
        if (connection.thread.joinable()) connection.thread.join();
    }
}

void Control::run() {
    while (!stop_) {
        if (!with_memory([this] { accept_some(); })) std::this_thread::sleep_for(kNap);
    }
}

void Control::accept_some() {
    std::vector<pollfd> polled;
    for (const Socket& listener : listeners_) polled.push_back({listener.fd(), POLLIN, 0});
    ::poll(polled.data(), polled.size(), -1);
    for (std::size_t i = 0; i < polled.size() && !stop_; ++i) {
        if (polled[i].revents != 0) accept_at(listeners_[i]);
    }
}

// Each on a thread of its own, since a change may take long; where there is none to be had the
// others wait. Abstract sockets have no permissions, so any process may connect: one of another
// user is closed without a word.
void Control::accept_at(const Socket& listener) {
    Socket client(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.fd() < 0 && errno != EAGAIN && !stop_)
        std::this_thread::sleep_for(kNap);  // no more files
    if (client.fd() < 0 || !client.same_user()) return;
    drop_ended();
    for (; connections_.size() == kMostConnections && !stop_; drop_ended())
        std::this_thread::sleep_for(kNap);
    const auto added = connections_.emplace(connections_.end(), std::move(client));
    const auto answer = [this, added] {
        if (!with_memory([&] { serve(added->client); })) added->client.end();
        added->done = true;
    };
    try {
        added->thread = JobThread(answer);
        pthread_setname_np(added->thread.native_handle(), "qs-asked");
    } catch (const std::system_error&) {
        answer();
    }
}

// Only this thread touches the list; a connection's own thread only sets `done`, as its last act.
void Control::drop_ended() {
    std::erase_if(connections_, [](Connection& connection) {
        if (!connection.done) return false;
        if (connection.thread.joinable()) connection.thread.join();
        return true;
    });
}

void Control::serve(const Socket& client) {
    client.set_timeout(kTimeoutSeconds);
    const auto request = client.receive(kMostRequestBytes);
    // Without a request it only wanted to know whether somebody is here. And who has given up,
    // since this process stood still, did not get what it asked for.
    if (request && !request->empty() && !client.peer_is_gone())
        static_cast<void>(client.send(answer(*request)));
    client.end();
}

// Of the drives that are there, and of those that the array file named at the opening, whether they
// were used or not: it may still name one whose place another has taken since.
std::vector<std::string> Control::media() const {
    std::vector<std::string> media = named_;
    for (const Device* drive : engine_.core().drives()) {
        if (drive != nullptr) media.push_back(drive->medium());
    }
    return media;
}

// A drive that is missing here, or out, may be named as well: what is under its path now can't be
// told from any other. With drives a, b, c and one missing, "a b x" is let in, since x may be that
// one; "a x y" is not.
std::optional<std::string> Control::other_drive(const std::string& named) const {
    const std::vector<std::string> known = media();
    const ArrayParameters& p = engine_.core().layout().p;
    const auto members = static_cast<std::ptrdiff_t>(p.qlc_count + p.scm_count);
    const std::vector<const Device*> drives = engine_.core().drives();  // members come first
    const auto missing = static_cast<std::size_t>(
        std::count_if(drives.begin(), drives.begin() + members,
                      [](const Device* drive) { return drive == nullptr || drive->out(); }));
    std::size_t unknown = 0;
    for (std::size_t at = 0, end; at < named.size(); at = end + 1) {
        end = std::min(named.find(' ', at), named.size());
        std::string drive = named.substr(at, end - at);
        if (std::ranges::find(known, drive) == known.end() && ++unknown > missing) return drive;
    }
    return std::nullopt;
}

// Statistics go straight to the core, without a call that closing waits for: `status` works while
// the array is being closed, too.
std::string Control::answer(const std::string& asked) {
    const std::size_t line = std::min(asked.find('\n'), asked.size() - 1);
    if (const auto other = other_drive(asked.substr(0, line))) return "other " + *other;
    const std::string request = asked.substr(line + 1);
    if (request == "stats") return "done\n" + to_json(engine_.core().stats());
    const Result<std::string> answer = carry_out(request);
    return answer ? "done\n" + *answer : error_text(answer.error());
}

namespace {

Result<std::string> role_and_index(const Result<Engine::Replaced>& drive) {
    if (!drive) return fail(drive.error());
    return fmt::format("{} {}", drive->role == Role::scm ? "scm" : "qlc", drive->index);
}

std::unexpected<Error> not_understood(const std::string& request) {
    return fail(Errc::invalid_argument,
                "the process that has the array open does not understand \"{}\": a volume's name "
                "has no spaces; or is that process of another version?",
                request);
}

}  // namespace

// A path may have blanks.
Result<std::string> Control::replace(const std::string& request) {
    std::vector<std::string> lines;
    std::istringstream text(request);
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    if (lines.size() != 5 || lines[2].empty())
        return fail(Errc::invalid_argument, "a path can't have the end of a line in it");
    DeviceOptions fresh;
    fresh.path = lines[2];
    const auto bytes = parse_number(lines[3]);
    if (!bytes) return fail(Errc::invalid_argument, "\"{}\" is no size", lines[3]);
    fresh.size_bytes = *bytes;
    return role_and_index(engine_.replace(lines[1], fresh, lines[4] == "1"));
}

Result<std::string> Control::of_drive(const std::string& verb, const std::string& drive) {
    if (verb == "fail") return role_and_index(engine_.fail_device(drive));
    if (verb == "drain") return role_and_index(engine_.drain_device(drive, false));
    if (verb == "drain stop") return role_and_index(engine_.drain_device(drive, true));
    if (verb == "remove") return role_and_index(engine_.remove_device(drive));
    return not_understood(verb);
}

// Split at each blank, so a name with one gives too many words and is refused: no volume has such.
Result<std::string> Control::carry_out(const std::string& request) {
    if (request.starts_with("replace\n")) return replace(request);
    if (const auto end = request.find('\n'); end != std::string::npos)
        return of_drive(request.substr(0, end), request.substr(end + 1));
    std::vector<std::string> words(1);
    for (const char c : request) {
        if (c == ' ')
            words.emplace_back();
        else
            words.back() += c;
    }
    const std::string& verb = words.front();
    const auto done = [](const Status& status) -> Result<std::string> {
        return status ? Result<std::string>("") : fail(status.error());
    };
    if (verb == "delete" && words.size() == 2)
        return done(engine_.delete_volume(words[1], Loss::refused));
    if (request == "scrub stop") return done(engine_.stop_scrub());
    const auto bytes = words.size() == 3 ? parse_number(words.back()) : std::nullopt;
    if (bytes && verb == "scrub" && words[1] == "start") return done(engine_.start_scrub(*bytes));
    if (bytes && verb == "create") return done(engine_.create_volume(words[1], *bytes));
    if (bytes && verb == "resize")
        return done(engine_.resize_volume(words[1], *bytes, Loss::refused));
    if (bytes && verb == "holds") {
        const auto holds = engine_.holds_data(words[1], *bytes);
        if (!holds) return fail(holds.error());
        return *holds ? "yes" : "";
    }
    return not_understood(request);
}

}  // namespace qlcshape
