// SPDX-License-Identifier: Apache-2.0
// A key-value store that Redis clients can use, in a volume of an array.
//
//   kv_store ARRAY.toml --volume NAME --socket PATH
//   kv_store ARRAY.toml --volume NAME --port N
//
// Ends cleanly on SIGTERM and SIGINT; killed, it loses nothing that it acknowledged.
#include <qlcshape/engine.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "kv_store/commands.h"
#include "kv_store/listener.h"
#include "kv_store/server.h"
#include "kv_store/store.h"

using namespace kv_store;
using qlcshape::Engine;
using qlcshape::Errc;
using qlcshape::Error;
using qlcshape::Options;
using qlcshape::Result;
using qlcshape::Status;
using qlcshape::Volume;

namespace {

struct Arguments {
    std::string array_file, volume, socket;
    std::uint16_t port = 0;
};

std::atomic<bool> serving = false;

// Waits for SIGTERM and SIGINT on a thread of its own. The loop, once it runs, is told by the
// eventfd and ends cleanly. Before that, and at a second signal, the process ends at once: to the
// array that is a crash, which it is made for. Some senders, timeout(1) for one, send each signal
// twice, so what comes within a second of the first is taken as the same.
[[noreturn]] void wait_for_signals(sigset_t signals, int stop_fd) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (serving) {
        eventfd_write(stop_fd, 1);
        sleep(1);
        const timespec at_once{};
        while (sigtimedwait(&signals, nullptr, &at_once) > 0) {
        }
        sigwait(&signals, &signal);
    }
    std::fputs("kv_store: stopped at once; the array recovers at its next opening\n", stderr);
    std::_Exit(1);
}

int watch_signals() {
    const int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    std::signal(SIGPIPE, SIG_IGN);  // nobody may be reading what is printed
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // and in all threads started from here on
    std::thread(wait_for_signals, signals, stop_fd).detach();
    return stop_fd;
}

// Each client takes one file descriptor; the usual limit is 1024.
void allow_many_clients() {
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur =
        std::min<rlim_t>(files.rlim_max, std::max<rlim_t>(files.rlim_cur, 2 * Server::kMaxClients));
    setrlimit(RLIMIT_NOFILE, &files);
}

void serve_clients(Store& store, Engine& engine, int listener, int stop_fd) {
    Commands commands(store, engine);
    Server server(store, commands, listener, stop_fd);
    serving = true;
    std::printf("kv_store: %llu keys; ready\n", static_cast<unsigned long long>(store.keys()));
    std::fflush(stdout);
    try {
        server.run();
    } catch (const std::exception& error) {
        // Out of memory. Requests are under way, so nothing can be taken down from here.
        std::fprintf(stderr, "kv_store: %s; the array recovers at its next opening\n",
                     error.what());
        std::_Exit(2);
    }
}

Status serve(Engine& engine, const Arguments& arguments, int stop_fd) {
    const Result<Volume> volume = engine.open_volume(arguments.volume);
    if (!volume) return std::unexpected(volume.error());
    const auto store = Store::open(*volume);
    if (!store) return std::unexpected(store.error());
    const Result<int> listener = arguments.socket.empty() ? listen_on_port(arguments.port)
                                                          : listen_on_path(arguments.socket);
    if (!listener) return std::unexpected(listener.error());
    serve_clients(**store, engine, *listener, stop_fd);
    if (!arguments.socket.empty()) unlink(arguments.socket.c_str());
    return {};
}

void print(qlcshape::LogLevel level, const std::string& message) {
    const char* mark = level == qlcshape::LogLevel::error     ? "error: "
                       : level == qlcshape::LogLevel::warning ? "warning: "
                                                              : "";
    std::fprintf(stderr, "kv_store: %s%s\n", mark, message.c_str());
}

Status run(const Arguments& arguments) {
    const int stop_fd = watch_signals();
    allow_many_clients();
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print;
    const auto engine = Engine::open(*options);
    if (!engine) return std::unexpected(engine.error());
    const Status served = serve(**engine, arguments, stop_fd);
    const Status closed = (*engine)->close();
    return served ? closed : served;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is an error of the write
    CLI::App app("A key-value store for Redis clients, in a volume of an array", "kv_store");
    Arguments arguments;
    app.add_option("array", arguments.array_file, "array file")->required();
    app.add_option("--volume", arguments.volume, "volume that holds the keys")->required();
    auto* where = app.add_option_group("where");
    where->add_option("--socket", arguments.socket, "path of a Unix socket to listen on");
    where->add_option("--port", arguments.port, "port of 127.0.0.1 to listen on")
        ->check(CLI::Range(1, 65535));
    where->require_option(1);
    app.footer(
        "Exit 0: stopped by SIGTERM or SIGINT; 1: stopped by a second one, or while it was "
        "opening the array; 2: it could not run.");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }

    Status status;
    try {
        status = run(arguments);
    } catch (const std::exception& error) {  // no more files, threads or memory
        status = std::unexpected(Error{Errc::io_error, error.what()});
    }
    if (!status) std::fprintf(stderr, "kv_store: %s\n", status.error().message.c_str());
    return status ? 0 : 2;
}
