// SPDX-License-Identifier: Apache-2.0
#include "qlcshape/engine.h"

#include <pthread.h>
#include <sched.h>
#include <sys/random.h>

#include <chrono>
#include <cstring>
#include <system_error>

#include "base/callback.h"
#include "base/kept.h"
#include "base/size_text.h"
#include "engine/engine_impl.h"
#include "engine/file_room.h"
#include "engine/format_array.h"
#include "engine/limits.h"
#include "engine/replace.h"
#include "engine/returns.h"
#include "engine/spares.h"
#include "engine/volume_change.h"

namespace qlcshape {

namespace {

std::uint64_t entropy() {
    std::uint64_t seed = 0;
    if (::getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
        seed =
            static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    }
    return seed;
}

// A thread that waits for drives soon sleeps, since their completions wake it; one that waits for
// requests looks for them some 100 us longer, since to be woken costs as much.
constexpr std::uint32_t kPollsBeforeSleep = 64;
constexpr std::uint32_t kPollsForRequests = 1024;
constexpr std::uint64_t kSleepBusyUs = 200;
constexpr std::uint64_t kSleepIdleUs = 100'000;

// How much of a volume one look at the table is for.
constexpr std::uint64_t kLookBlocks = 65536;

}  // namespace

Engine::Impl::Impl(const Options& options)
    : options_(options), random_(entropy()), io_clock_(clock_, io_limit_ns(options)) {}

Result<std::unique_ptr<Engine::Impl>> Engine::Impl::open(const Options& named) {
    QS_TRY(check_engine_options(named));
    const Options options = with_spares_in_use(named);
    // More shards than any array can have are refused when it is known how many this one may have.
    WaitingThreads threads(std::min(options.shards, kMaxShards) +
                           std::min(options.gc_threads, kMaxShards) + 4 +
                           Monitor::threads(options));
    std::vector<Unusable> absent;
    auto devices = open_devices(options, access_of(options), &absent);
    if (!devices) return fail(devices.error());
    std::unique_ptr<Impl> impl(new Impl(options));
    Environment environment{impl->clock_, impl->random_,
                            [](std::vector<std::span<std::byte>> memory) {
                                return std::make_unique<IoQueue>(std::move(memory));
                            },
                            run_in_threads};
    environment.io_clock = &impl->io_clock_;
    auto core = Core::open(options, std::move(*devices), absent, environment);
    if (!core) return fail(core.error());
    impl->core_ = std::move(*core);
    std::uint32_t index = 0;
    const auto start = std::make_shared<Start>(impl->core_->workers().size());
    for (const auto& worker : impl->core_->workers()) {
        impl->threads_.push_back(threads.run([&self = *impl, w = worker.get(), start] {
            self.prepare(*w, *start);
            self.run(*w);
        }));
        impl->pin(impl->threads_.back(), *worker, index);
        ++index;
    }
    start->ready.wait();
    Stats opened = impl->core_->stats();
    log_opened(options, opened);
    if (!impl->core_->read_only()) log_shortages(options);
    impl->monitor_ =
        std::make_unique<Monitor>(impl->options_, *impl->core_, std::move(opened), threads);
    impl->reclaimer_ = std::make_unique<Reclaimer>(impl->options_, *impl->core_, threads);
    impl->begin_watching(threads);
    if (!impl->core_->read_only()) {
        for (auto& deletion : impl->core_->unfinished_deletions())
            impl->reclaimer_->add(std::move(deletion));
    }
    impl->control_ = std::make_unique<Control>(impl->options_, named, *impl);
    return impl;
}

void Engine::Impl::begin_watching(WaitingThreads& threads) {
    watch_ = std::make_unique<Watch>(
        "qs-watch",
        [this] {
            core_->watch();
            core_->pace_scrub();
        },
        threads);
    drives_ = std::make_unique<Watch>(
        "qs-drives", [this] { look_at_drives(); }, threads);
    const auto returns = std::make_shared<Returns>(options_, *this);
    const auto spares = std::make_shared<Spares>(options_, *this);
    returns_ = std::make_unique<Watch>(
        "qs-returns",
        [returns, spares] {
            returns->look();
            spares->look();
        },
        threads);
}

// On the worker's thread, which owns its ring. Rings before registered memory: the two share a
// limit, and rings save more.
void Engine::Impl::prepare(Worker& worker, Start& start) {
    const bool rings = core_->wants_rings();
    if (rings) worker.queue().ring();
    start.rings.arrive_and_wait();
    if (rings) with_memory([&] { worker.queue().register_memory(); });
    start.ready.count_down();
}

void Engine::Impl::run(Worker& worker) {
    std::uint32_t idle = 0;
    while (!stop_.load(std::memory_order_acquire)) {
        if (worker.poll(core_->phase())) {
            idle = 0;
        } else if (++idle >
                   (worker.queue().in_flight() != 0 ? kPollsBeforeSleep : kPollsForRequests)) {
            const bool soon = worker.busy() && !core_->halted();
            worker.queue().wait(soon ? kSleepBusyUs : kSleepIdleUs);
        }
    }
}

// Shards where the options say; GC threads anywhere else.
void Engine::Impl::pin(JobThread& thread, const Worker& worker, std::uint32_t index) {
    pthread_setname_np(thread.native_handle(), ("qs-" + worker.name()).substr(0, 15).c_str());
    if (options_.cores.empty()) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (index < options_.shards) {
        CPU_SET(options_.cores[index % options_.cores.size()], &set);
    } else {
        for (std::uint32_t core = 0; core < std::thread::hardware_concurrency(); ++core)
            CPU_SET(core, &set);
        for (const std::uint32_t core : options_.cores) CPU_CLR(core, &set);
        if (CPU_COUNT(&set) == 0) return;
    }
    const int refused = pthread_setaffinity_np(thread.native_handle(), sizeof(set), &set);
    if (refused == 0) return;
    log(options_, LogLevel::warning,
        "{} runs on any core, since it can't be kept to those of `cores`: {}; name cores that this "
        "process may use (taskset -p, cpuset of a container or unit)",
        worker.name(), std::strerror(refused));
}

// Counted first, then looked: see engine_impl.h.
Engine::Impl::Call Engine::Impl::enter() {
    calls_.fetch_add(1);
    Call call(this);
    if (closing_) call.reset();
    return call;
}

// Also while closing, which waits for it as for a call.
void Engine::Impl::look_at_drives() {
    calls_.fetch_add(1);
    const Call call(this);
    core_->look_at_drives();
}

Status Engine::Impl::admit(const Call& call, const char* what) const {
    QS_TRY(refuse_in_callback(what));
    if (call != nullptr) return {};
    return fail(Errc::closed, "{}: the engine is closed, or closing", what);
}

Status Engine::Impl::close() {
    QS_TRY(refuse_in_callback("close"));
    return close_once();
}

Status Engine::Impl::close_once() {
    std::lock_guard lock(close_mutex_);
    if (!closed_ && core_ != nullptr) {
        close_status_ = in_words(Errc::no_memory, [this] { return close_now(); });
    }
    closed_ = true;
    return close_status_;
}

void Engine::Impl::end(std::unique_ptr<Impl> impl) {
    static_cast<void>(impl->close_once());
    if (impl->abandoned_) keep(std::move(impl));
}

Status Engine::Impl::close_now() {
    closing_ = true;
    if (reclaimer_) reclaimer_->stop();
    const std::string name = core_->name();
    while (!core_->advance_close() || calls_ != 0) {
        if (core_->held_fast()) break;
        nap();
    }
    if (core_->halted()) {
        // A thread whose transfer the kernel has not ended can't end either: none is waited for.
        // Nothing calls the program any more but for requests that are still held.
        abandoned_ = true;
        monitor_.reset();
        log(options_, LogLevel::error, "array {}: not closed cleanly", name);
        return core_->finish_close();
    }
    control_.reset();
    reclaimer_.reset();
    monitor_.reset();
    returns_.reset();
    drives_.reset();
    watch_.reset();
    stop_ = true;
    core_->wake_workers();
    for (JobThread& thread : threads_) thread.join();
    Status closed = in_words(Errc::no_memory, [this] { return core_->finish_close(); });
    core_->release();
    with_memory([&] {
        if (closed) {
            log(options_, LogLevel::info, "array {}: closed", name);
        } else {
            log(options_, LogLevel::error, "array {}: not closed cleanly", name);
        }
    });
    return closed;
}

Status Engine::Impl::create_volume(const std::string& name, std::uint64_t bytes) {
    const Call call = enter();
    QS_TRY(admit(call, "create_volume"));
    Status created = core_->create_volume(name, bytes);
    if (!created && created.error().code == Errc::no_space) {
        QS_TRY(finish_deletions());
        created = core_->create_volume(name, bytes);
    }
    QS_TRY(created);
    log(options_, LogLevel::info, "volume {}: created, {}", name, size_text(bytes));
    return {};
}

Status Engine::Impl::delete_volume(const std::string& name, Loss loss) {
    const Call call = enter();
    QS_TRY(admit(call, "delete_volume"));
    auto deletion = core_->begin_delete(name, loss);
    if (!deletion) return fail(deletion.error());
    reclaimer_->add(std::move(*deletion));
    log(options_, LogLevel::info, "volume {}: deleted", name);
    return {};
}

Status Engine::Impl::finish_deletions() {
    const Call call = enter();
    QS_TRY(admit(call, "finish_deletions"));
    return reclaimer_->wait();
}

std::vector<VolumeInfo> Engine::Impl::volumes() {
    const Call call = enter();
    return call != nullptr ? core_->volumes() : std::vector<VolumeInfo>();
}

Result<Volume> Engine::Impl::open_volume(const std::string& name) {
    const Call call = enter();
    if (call == nullptr) return fail(Errc::closed, "volume {}: the engine is closed", name);
    auto state = core_->volume(name);
    if (!state) return fail(state.error());
    // With the volume a handle keeps what answers for a closed engine.
    struct Kept {
        std::shared_ptr<Core> core;
        std::shared_ptr<VolumeState> state;
    };
    const auto kept = std::make_shared<Kept>(core_, std::move(*state));
    return Volume(std::shared_ptr<VolumeState>(kept, kept->state.get()));
}

Status Engine::Impl::start_scrub(std::uint64_t bytes_per_second) {
    const Call call = enter();
    QS_TRY(admit(call, "start_scrub"));
    QS_TRY(core_->start_scrub(bytes_per_second));
    log(options_, LogLevel::info, "array {}: a pass of the scrub was asked for", core_->name());
    return {};
}

Status Engine::Impl::stop_scrub() {
    const Call call = enter();
    QS_TRY(admit(call, "stop_scrub"));
    return core_->stop_scrub();
}

Stats Engine::Impl::stats() {
    const Call call = enter();
    return call != nullptr ? core_->stats() : Stats();
}

Result<bool> Engine::Impl::holds_data(const std::string& name, std::uint64_t from_bytes) {
    const Call call = enter();
    QS_TRY(admit(call, "holds_data"));
    if (from_bytes % kBlockBytes != 0) {
        return fail(Errc::invalid_argument, "volume {}: {} bytes are no multiple of 4 KiB", name,
                    from_bytes);
    }
    auto volume = core_->volume(name);
    if (!volume) return fail(volume.error());
    std::vector<std::uint8_t> mapped(kLookBlocks);
    const std::uint64_t blocks = (*volume)->bytes() / kBlockBytes;
    for (std::uint64_t at = from_bytes / kBlockBytes; at < blocks; at += kLookBlocks) {
        const std::uint64_t n = std::min(kLookBlocks, blocks - at);
        QS_TRY(submit_and_wait(*core_, **volume, Op::mapped, at * kBlockBytes, n * kBlockBytes,
                               mapped.data()));
        const auto end = mapped.begin() + static_cast<std::ptrdiff_t>(n);
        if (std::find(mapped.begin(), end, 1) != end) return true;
    }
    return false;
}

Status Engine::Impl::resize_volume(const std::string& name, std::uint64_t bytes, Loss loss) {
    const Call call = enter();
    QS_TRY(admit(call, "resize_volume"));
    auto resize = core_->begin_resize(name, bytes, loss);
    if (!resize && resize.error().code == Errc::no_space) {
        QS_TRY(finish_deletions());
        resize = core_->begin_resize(name, bytes, loss);
    }
    if (!resize) return fail(resize.error());
    VolumeChange change(*core_, *resize);
    while (!change.step()) nap();
    QS_TRY(change.outcome());
    log(options_, LogLevel::info, "volume {}: resized from {} to {}", name, size_text(resize->from),
        size_text(bytes));
    return {};
}

// --- the public handle ---

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

// Closing waits for the callback that this thread is in, if it is in one: then another thread
// closes. Without a thread the array stays open as long as the process.
Engine::~Engine() {
    if (!InCallback::now()) {
        Impl::end(std::move(impl_));
        return;
    }
    Impl* const impl = impl_.release();
    try {
        std::thread([impl] { Impl::end(std::unique_ptr<Impl>(impl)); }).detach();
    } catch (const std::system_error&) {
    }
}

Status Engine::create(const Options& options, bool force) {
    return within_limits("array " + options.name, [&]() -> Status {
        QS_TRY(check_plan(options));
        QS_TRY(check_engine_options(options));
        MadeFiles made;
        Random random(entropy());
        OfflineQueue offline(options);
        auto devices = make_devices_and_spares(options, made, offline.queue());
        if (!devices) return fail(devices.error());
        QS_TRY(format_array(options, *devices, force, random, offline.queue()));
        made.keep();
        log_shortages(options);
        return {};
    });
}

Result<Engine::Replaced> Engine::replace_device(const Options& options, const std::string& old,
                                                const DeviceOptions& fresh, bool force) {
    return within_limits(old, [&] {
        Random random(entropy());
        return qlcshape::replace_device(with_spares_in_use(options), old, fresh, force, random);
    });
}

Result<std::unique_ptr<Engine>> Engine::open(const Options& options) {
    auto impl = within_limits("array " + options.name, [&] { return Impl::open(options); });
    if (!impl) return fail(impl.error());
    return std::unique_ptr<Engine>(new Engine(std::move(*impl)));
}

Status Engine::close() { return impl_->close(); }
Status Engine::create_volume(const std::string& name, std::uint64_t bytes) {
    return within_limits(name, [&] { return impl_->create_volume(name, bytes); });
}

Status Engine::resize_volume(const std::string& name, std::uint64_t bytes) {
    return within_limits(name, [&] { return impl_->resize_volume(name, bytes, Loss::allowed); });
}

Status Engine::delete_volume(const std::string& name) {
    return within_limits(name, [&] { return impl_->delete_volume(name, Loss::allowed); });
}

Status Engine::finish_deletions() {
    return in_words(Errc::no_memory, [this] { return impl_->finish_deletions(); });
}

Result<bool> Engine::holds_data(const std::string& name, std::uint64_t from_bytes) {
    return within_limits(name, [&] { return impl_->holds_data(name, from_bytes); });
}

std::vector<VolumeInfo> Engine::volumes() const {
    return or_empty([this] { return impl_->volumes(); });
}

Result<Volume> Engine::open_volume(const std::string& name) {
    return within_limits(name, [&] { return impl_->open_volume(name); });
}

Status Engine::start_scrub(std::uint64_t bytes_per_second) {
    return in_words(Errc::no_memory, [&] { return impl_->start_scrub(bytes_per_second); });
}

Status Engine::stop_scrub() {
    return in_words(Errc::no_memory, [this] { return impl_->stop_scrub(); });
}

Stats Engine::stats() const {
    return or_empty([this] { return impl_->stats(); });
}
bool Engine::read_only() const { return impl_->read_only(); }

}  // namespace qlcshape
