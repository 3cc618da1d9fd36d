// A key-value store that Redis clients can use, in a volume of an array.
//
//   kv_store ARRAY.toml --volume NAME --socket PATH
//   kv_store ARRAY.toml --volume NAME --port N
//
// Ends in order on SIGTERM and SIGINT; killed, it loses nothing that it acknowledged.
#include <qlcshape/engine.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include "kv_store/commands.h"
#include "kv_store/listener.h"
#include "kv_store/server.h"
#include "kv_store/store.h"

using namespace kv_store;
using qlcshape::Engine;
using qlcshape::Options;
using qlcshape::Result;
using qlcshape::Status;
using qlcshape::Volume;

struct Arguments {
    std::string array_file, volume, socket;
    std::uint16_t port = 0;
};

// Before any thread is started, so that all of them leave the signals to the loop.
static int catch_stop_signals() {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    return signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
}

static Status serve(Engine& engine, const Arguments& arguments, int signals) {
    const Result<Volume> volume = engine.open_volume(arguments.volume);
    if (!volume) return std::unexpected(volume.error());
    const auto store = Store::open(*volume);
    if (!store) return std::unexpected(store.error());
    const Result<int> listener = arguments.socket.empty() ? listen_on_port(arguments.port)
                                                          : listen_on_path(arguments.socket);
    if (!listener) return std::unexpected(listener.error());

    Commands commands(**store, engine);
    Server server(**store, commands, *listener, signals);
    std::printf("kv_store: %llu keys; ready\n", static_cast<unsigned long long>((*store)->keys()));
    std::fflush(stdout);
    server.run();
    return {};
}

static void print(qlcshape::LogLevel, const std::string& message) {
    std::fprintf(stderr, "kv_store: %s\n", message.c_str());
}

static Status run(const Arguments& arguments) {
    const int signals = catch_stop_signals();
    Result<Options> options = Options::from_file(arguments.array_file);
    if (!options) return std::unexpected(options.error());
    options->log = print;
    const auto engine = Engine::open(*options);
    if (!engine) return std::unexpected(engine.error());
    const Status served = serve(**engine, arguments, signals);
    const Status closed = (*engine)->close();
    return served ? closed : served;
}

int main(int argc, char** argv) {
    CLI::App app("A key-value store for Redis clients, in a volume of an array");
    Arguments arguments;
    app.add_option("array", arguments.array_file, "array file")->required();
    app.add_option("--volume", arguments.volume, "where the keys are")->required();
    auto* where = app.add_option_group("where");
    where->add_option("--socket", arguments.socket, "path of a Unix socket to listen on");
    where->add_option("--port", arguments.port, "port of 127.0.0.1 to listen on");
    where->require_option(1);
    CLI11_PARSE(app, argc, argv);

    Status status;
    try {
        status = run(arguments);
    } catch (const std::system_error& error) {  // epoll, eventfd: no more files or memory
        status = std::unexpected(qlcshape::Error{qlcshape::Errc::io_error, error.what()});
    }
    if (!status) std::fprintf(stderr, "kv_store: %s\n", status.error().message.c_str());
    return status ? 0 : 2;
}
