// SPDX-License-Identifier: Apache-2.0
#include "tools/serve_ublk.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>

#include "base/error.h"
#include "base/repeats.h"
#include "qlcshape/engine.h"
#include "tools/report.h"
#include "tools/serve_socket.h"
#include "tools/tell.h"
#include "tools/ublk/device.h"
#include "tools/ublk/takeover.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace qlcshape::tools {

namespace {

constexpr int kLookMs = 1000;

// Of requests: a drive that fails may fail every one.
Repeats repeats;

void print_lines(const std::vector<LogLine>& lines) {
    for (const LogLine& line : lines) print_log(line.level, line.text);
}

void print_now_and_then(LogLevel level, const std::string& message) {
    print_lines(repeats.see(level, message, steady_seconds()));
}

// Blocked before any thread starts, so that this one alone gets them.
int catch_signals() {
    sigset_t watched;
    sigemptyset(&watched);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, ublk::kHandOverSignal})
        sigaddset(&watched, signal);
    ::sigprocmask(SIG_BLOCK, &watched, nullptr);
    return ::signalfd(-1, &watched, SFD_CLOEXEC);
}

class Server {
  public:
    Server(const UblkArguments& arguments, const ublk::Control& control)
        : arguments_(arguments), control_(control) {}

    Status open(Options options) {
        options.log = print_log;
        options.read_only = arguments_.read_only;
        auto engine = Engine::open(options);
        if (!engine) return fail(engine.error());
        engine_ = std::move(*engine);
        // The superblocks say what a segment is; the array file said so to create(). For a hint it
        // will do.
        segment_bytes_ = options.data_strips * options.strip_bytes;
        return {};
    }

    Status add_devices() {
        const Stats stats = engine_->stats();
        std::vector<std::string> names = arguments_.volumes;
        if (names.empty()) {
            for (const VolumeInfo& v : stats.volumes) names.push_back(v.name);
        }
        if (names.empty()) {
            return fail(Errc::not_found, "{}: it has no volume; `qlcshape volume create` makes one",
                        arguments_.array_file);
        }
        for (const std::string& name : names) {
            const auto info = std::ranges::find(stats.volumes, name, &VolumeInfo::name);
            if (info == stats.volumes.end()) {
                return fail(
                    Errc::not_found,
                    "volume {}: there is no volume with this name; see `qlcshape volume list`",
                    name);
            }
            QS_TRY(add_device(stats, *info));
        }
        return {};
    }

    void tell_ready() const {
        Json devices = Json::object();
        for (const Served& s : devices_) {
            devices[s.volume] = s.device->path();
            if (!arguments_.json) say("{}\n", s.device->path());
        }
        if (arguments_.json) {
            Json object = new_object("serve");
            object["devices"] = std::move(devices);
            print(object);
        }
        std::fflush(stdout);
        notify_systemd();
    }

    // Until a signal, which is returned, or until no device is left: 0.
    int watch(int signals) {
        for (;;) {
            pollfd polled{signals, POLLIN, 0};
            if (::poll(&polled, 1, kLookMs) > 0) {
                signalfd_siginfo signal{};
                if (::read(signals, &signal, sizeof(signal)) == sizeof(signal))
                    return static_cast<int>(signal.ssi_signo);
            }
            print_lines(repeats.look(steady_seconds()));
            bool served = false;
            for (const Served& s : devices_) {
                s.device->follow_size();
                served |= s.device->served();
            }
            if (!served) return 0;
        }
    }

    // What is claimed stays, for the next server; after a hand-over all does.
    Status end_devices(bool hand_over) {
        Status good;
        for (const Served& s : devices_) {
            if (hand_over && s.device->outlives_server()) {
                s.device->leave();
                continue;
            }
            const auto stays = s.device->end();
            if (!stays) good = fail(stays.error());
            if (stays && *stays) {
                tell(
                    "qlcshape serve: {}: it is in use, so it stays and its requests wait; "
                    "serve volume {} again to go on\n",
                    s.device->path(), s.volume);
            }
        }
        return good;
    }

    // After an error at the start: what was found is left, what was made goes.
    void give_up() {
        for (const Served& s : devices_) {
            if (s.device->recovered())
                s.device->leave();
            else
                static_cast<void>(s.device->end());
        }
    }

    Status close() {
        Status closed = engine_ == nullptr ? Status{} : engine_->close();
        devices_.clear();  // no thread of the engine is left that could call into them
        print_lines(repeats.rest(steady_seconds()));
        return closed;
    }

  private:
    struct Served {
        std::string volume;
        std::unique_ptr<ublk::Device> device;
    };

    Status add_device(const Stats& stats, const VolumeInfo& info) {
        auto volume = engine_->open_volume(info.name);
        if (!volume) return fail(volume.error());
        ublk::Wish wish;
        wish.number = arguments_.number;
        wish.mark = ublk::mark_of(stats.array_uuid, info.uuid);
        wish.shape = {volume->size_bytes(), segment_bytes_, arguments_.block_bytes,
                      engine_->read_only()};
        auto device = ublk::Device::serve(control_, wish, *volume, print_now_and_then);
        if (!device) return fail(device.error());
        volume->set_device((*device)->path());
        if ((*device)->recovered()) {
            tell("qlcshape serve: {}: goes on with volume {}\n", (*device)->path(), info.name);
        }
        devices_.push_back({info.name, std::move(*device)});
        return {};
    }

    const UblkArguments& arguments_;
    const ublk::Control& control_;
    std::unique_ptr<Engine> engine_;
    std::uint64_t segment_bytes_ = 0;
    std::vector<Served> devices_;
};

int run(const UblkArguments& arguments, const Options& options, const ublk::Control& control) {
    const int signals = catch_signals();
    Server server(arguments, control);
    Status good = server.open(options);
    if (good) good = server.add_devices();
    if (!good) {
        server.give_up();
        static_cast<void>(server.close());
        return report_error("serve", arguments.json, good.error());
    }
    server.tell_ready();
    const int signal = server.watch(signals);
    good = server.end_devices(signal == ublk::kHandOverSignal);
    if (signal == 0 && good) {
        good = fail(Errc::closed, "no device is left: another program deleted them");
    }
    const Status closed = server.close();
    if (closed && good) return kDone;
    if (!good) report_error("serve", arguments.json, good.error());
    if (!closed) report_error("serve", arguments.json, closed.error());
    return kFoundProblem;
}

}  // namespace

int serve_ublk(const UblkArguments& arguments) {
    const auto options = Options::from_file(arguments.array_file);
    if (!options) return report_error("serve", arguments.json, options.error());
    const auto driver = ublk::open_driver();
    if (!driver) return report_error("serve", arguments.json, driver.error());
    const ublk::Control control(**driver);
    if (arguments.takeover) {
        if (const Status taken = take_over(control, *options, arguments.volumes); !taken)
            return report_error("serve", arguments.json, taken.error());
    }
    // Memory that this process waits for must not wait for a write to its own devices. Threads
    // inherit it. It needs CAP_SYS_RESOURCE: without it the kernel may do so when memory is short.
    ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    return run(arguments, *options, control);
}

}  // namespace qlcshape::tools
