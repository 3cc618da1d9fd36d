// SPDX-License-Identifier: Apache-2.0
// serve: volumes over NBD. nbdkit with our plugin does the work, as a child; this process makes
// the socket, reports when I/O works, forwards signals and reports how it ended. With --ublk:
// volumes as block devices, by serve_ublk.h in this process.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/process.h"
#include "tools/key_file.h"
#include "tools/report.h"
#include "tools/serve_socket.h"
#include "tools/serve_ublk.h"
#include "tools/tell.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

namespace fs = std::filesystem;

struct ServeArguments : CommonArguments {
    std::vector<std::string> volumes;  // the first is the default; empty: all, by their names
    std::string socket;
    std::uint16_t port = 0;
    std::string tls_psk;
    bool read_only = false;
    bool ublk = false;
    std::optional<std::uint32_t> number;
    std::uint32_t block_bytes = 4096;
    bool takeover = false;
};

constexpr int kExecFailed = 127;

// Next to the command in a build tree, or where `cmake --install` puts it.
Result<std::string> plugin_path() {
    std::error_code failed;
    const fs::path folder = fs::read_symlink("/proc/self/exe", failed).parent_path();
    if (failed) {
        return std::unexpected(
            Error{Errc::not_found,
                  fmt::format("/proc/self/exe: {}: mount /proc, which is needed to find the plugin",
                              failed.message())});
    }
    for (const fs::path& path : {folder / QLCSHAPE_PLUGIN, folder / QLCSHAPE_PLUGIN_FROM_BIN}) {
        if (fs::exists(path, failed)) return path.lexically_normal().string();
    }
    return std::unexpected(
        Error{Errc::not_found,
              fmt::format(
                  "{} is neither in {} nor in {}: install the package nbdkit-plugin-qlcshape, or "
                  "build all of qlcshape",
                  QLCSHAPE_PLUGIN, folder.string(),
                  (folder / QLCSHAPE_PLUGIN_FROM_BIN).parent_path().lexically_normal().string())});
}

// In the child, between fork and exec. nbdkit takes the socket as systemd would pass it.
[[noreturn]] void become_nbdkit(const ServeArguments& a, const std::string& plugin, int listening,
                                pid_t parent) {
    // If its parent dies it could not be stopped: then it closes the array.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(kExecFailed);
    ::dup2(listening, 3);
    if (listening == 3) ::fcntl(3, F_SETFD, 0);
    ::setenv("LISTEN_FDS", "1", 1);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const std::string psk = "--tls-psk=" + a.tls_psk;
    const std::string array = "array=" + a.array_file;
    std::vector<std::string> volumes;
    for (const std::string& name : a.volumes) volumes.push_back("volume=" + name);
    // A thread for each request: the deeper the queue, the more writes share a record of the TPS.
    std::vector<const char*> words{"nbdkit", "--foreground", "--threads=64"};
    if (a.read_only) words.push_back("--read-only");
    if (!a.tls_psk.empty()) words.insert(words.end(), {"--tls=require", psk.c_str()});
    words.insert(words.end(), {plugin.c_str(), array.c_str()});
    for (const std::string& volume : volumes) words.push_back(volume.c_str());
    words.push_back(nullptr);
    ::execvp(words[0], const_cast<char* const*>(words.data()));
    tell("qlcshape serve: nbdkit: {}; install the package nbdkit\n", std::strerror(errno));
    ::_exit(kExecFailed);
}

std::vector<std::string> served_volumes(const ServeArguments& a) {
    if (!a.volumes.empty()) return a.volumes;
    std::vector<std::string> names;
    const auto options = Options::from_file(a.array_file);
    const auto stats = options ? Engine::inspect(*options) : std::unexpected(options.error());
    if (!stats) return names;
    for (const VolumeInfo& volume : stats->volumes) names.push_back(volume.name);
    return names;
}

// A volume that is served alone needs no name. Without volumes the URI still leads to later ones.
void tell_ready(const ServeArguments& a, const ServeSocket& socket) {
    Json uris = Json::object();
    const std::vector<std::string> volumes = served_volumes(a);
    if (volumes.empty() && !a.json) say("{}\n", socket.uri());
    for (const std::string& volume : volumes) {
        const std::string uri = socket.uri(a.volumes.size() == 1 ? "" : volume);
        uris[volume] = uri;
        if (!a.json) say("{}\n", uri);
    }
    if (a.json) {
        Json object = new_object("serve");
        if (!a.volumes.empty() || volumes.size() == 1) object["uri"] = socket.uri();  // the default
        object["uris"] = std::move(uris);
        print(object);
    }
    std::fflush(stdout);
    notify_systemd();
}

constexpr int kAgainMs = 1000;
constexpr int kMostLooks = 10;  // at a child that has ended but is still there

// Until the child has ended; returns its status. Sets `ready` when it answered. Nothing where the
// kernel keeps the child though it has ended: a thread of its waits for a drive.
std::optional<int> watch(const ServeArguments& a, pid_t child, int greeting,
                         const ServeSocket& socket, int signals, bool& ready) {
    int looks = 0;
    for (;;) {
        pollfd polled[2] = {{signals, POLLIN, 0}, {greeting, POLLIN, 0}};
        ::poll(polled, greeting >= 0 ? 2 : 1, kAgainMs);
        looks = has_ended(child) ? looks + 1 : 0;
        if (looks == kMostLooks) return std::nullopt;
        if (greeting >= 0 && polled[1].revents != 0) {
            const int came = read_greeting(greeting);
            if (came > 0) tell_ready(a, socket);
            ready |= came > 0;
            if (came != 0) {
                ::close(greeting);
                greeting = -1;
            }
        }
        signalfd_siginfo signal{};
        if (polled[0].revents == 0 || ::read(signals, &signal, sizeof(signal)) != sizeof(signal))
            continue;
        if (signal.ssi_signo != SIGCHLD) ::kill(child, SIGTERM);
        int status = 0;
        if (signal.ssi_signo == SIGCHLD && ::waitpid(child, &status, WNOHANG) == child)
            return status;
    }
}

int exit_code_of(const ServeArguments& a, std::optional<int> ended, bool ready) {
    if (!ended) {
        static_cast<void>(
            report_error("serve", a.json,
                         {Errc::io_error,
                          "nbdkit has ended, but the kernel keeps its process until a drive "
                          "answers; everything acknowledged is safe, and `qlcshape status` says "
                          "whether the array was closed cleanly"}));
        return kFoundProblem;
    }
    const int status = *ended;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return kDone;
    if (WIFEXITED(status) && !ready) return kCouldNotRun;  // it has said why
    const std::string how = WIFSIGNALED(status)
                                ? fmt::format("was killed by signal {}", WTERMSIG(status))
                                : fmt::format("ended with {} (its messages say why and what helps)",
                                              WEXITSTATUS(status));
    return static_cast<void>(report_error(
               "serve", a.json,
               {Errc::io_error,
                fmt::format("nbdkit {}, so the array was not closed cleanly; everything "
                            "acknowledged is safe, and the next start recovers it",
                            how)})),
           kFoundProblem;
}

int serve(const ServeArguments& a, const std::string& plugin, const ServeSocket& socket) {
    // Blocked before the fork, so that none is missed.
    sigset_t watched;
    sigemptyset(&watched);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&watched, signal);
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);
    const int signals = ::signalfd(-1, &watched, SFD_CLOEXEC);
    // Accepted as soon as the engine is open: until then it waits in the socket's backlog.
    const auto greeting = connect_to(socket);
    if (!greeting) return report_error("serve", a.json, greeting.error());
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) become_nbdkit(a, plugin, socket.fd, parent);
    ::close(socket.fd);  // with the child's copy the socket goes
    if (child < 0) {
        return report_error("serve", a.json,
                            {Errc::io_error, fmt::format("fork: {}", std::strerror(errno))});
    }
    bool ready = false;
    const std::optional<int> status = watch(a, child, *greeting, socket, signals, ready);
    return exit_code_of(a, status, ready);
}

int run_serve(const ServeArguments& a) {
    if (a.ublk) {
        if (a.number && a.volumes.size() != 1) {
            return report_error(
                "serve", a.json,
                {Errc::invalid_argument, "--id: it is of one device; name one volume (--volume)"});
        }
        return serve_ublk(
            {a.array_file, a.volumes, a.number, a.block_bytes, a.read_only, a.takeover, a.json});
    }
    if (const auto options = Options::from_file(a.array_file); !options)
        return report_error("serve", a.json, options.error());
    if (!a.tls_psk.empty()) {
        if (const Status keys = check_key_file(a.tls_psk); !keys)
            return report_error("serve", a.json, keys.error());
    }
    const auto plugin = plugin_path();
    if (!plugin) return report_error("serve", a.json, plugin.error());
    const std::string psk = a.tls_psk.empty() ? "" : fs::absolute(a.tls_psk).string();
    const auto socket =
        a.socket.empty() ? listen_on_port(a.port, psk) : listen_on_path(a.socket, psk);
    if (!socket) return report_error("serve", a.json, socket.error());
    const int code = serve(a, *plugin, *socket);
    if (!a.socket.empty()) ::unlink(a.socket.c_str());
    return code;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<ServeArguments>();
    CLI::App* verb = app.add_subcommand(
        "serve", "serve volumes over NBD or as block devices until SIGTERM or SIGINT");
    arguments->add_to(*verb);
    verb->add_option("--volume", arguments->volumes,
                     "volume to serve, can be repeated; default: all, also those created later")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    auto* where = verb->add_option_group("where", "one of")->require_option(1);
    where->add_option("--socket", arguments->socket,
                      "path of a Unix socket, created with mode 0600");
    where->add_option("--port", arguments->port, "TCP port on the loopback interface")
        ->check(CLI::Range(1, 65535));
    auto* ublk = where->add_flag("--ublk", arguments->ublk,
                                 "as block devices /dev/ublkbN, by the kernel's ublk driver");
    verb->add_option("--id", arguments->number, "N of /dev/ublkbN; default: any that is free")
        ->check(CLI::Range(0, (1 << 20) - 1))
        ->needs(ublk);
    verb->add_option("--block-size", arguments->block_bytes,
                     "logical block size of the device: 4096 or 512")
        ->check(CLI::IsMember({4096, 512}))
        ->needs(ublk);
    verb->add_flag("--takeover", arguments->takeover,
                   "end the server that runs, cleanly, and take its devices")
        ->needs(ublk);
    verb->add_flag("--read-only", arguments->read_only,
                   "write nothing to any drive, also after a crash");
    verb->add_option("--tls-psk", arguments->tls_psk,
                     "require TLS with the pre-shared keys in this file (psktool creates one)")
        ->check(CLI::ExistingFile)
        ->excludes(ublk);
    verb->callback([arguments, &exit_code] { exit_code = run_serve(*arguments); });
}

}  // namespace qlcshape::tools
