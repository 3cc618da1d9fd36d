// SPDX-License-Identifier: Apache-2.0
#include "tools/demo_writer.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "base/assert.h"
#include "base/error.h"
#include "qlcshape/engine.h"
#include "tools/load.h"

namespace qlcshape::tools {

namespace {

constexpr std::uint64_t kFillRequestBytes = MiB;
constexpr std::chrono::milliseconds kPoll{5};

}  // namespace

Writer::Writer() {
    void* memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    QS_ASSERT(memory != MAP_FAILED);
    shared_ = static_cast<Shared*>(memory);
}

Writer::~Writer() {
    kill();
    ::munmap(shared_, sizeof(Shared));
}

Status Writer::start(const WriterJob& job) {
    std::fflush(stdout);
    child_ = ::fork();
    if (child_ < 0) return fail(Errc::io_error, "cannot start a process: {}", std::strerror(errno));
    if (child_ > 0) return {};
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::signal(SIGINT, SIG_IGN);  // the parent decides
    const Status status = write_for_ever(job, *shared_);
    shared_->error_code = status.error().code;
    std::strncpy(shared_->error, status.error().message.c_str(), sizeof shared_->error - 1);
    ::_exit(1);
}

// Returns only what went wrong.
Status Writer::write_for_ever(const WriterJob& job, Shared& shared) {
    QS_TRY(Engine::create(*job.options, true));
    auto engine = Engine::open(*job.options);
    if (!engine) return fail(engine.error());
    QS_TRY((*engine)->create_volume(kDemoVolume, job.volume_bytes));
    const auto volume = (*engine)->open_volume(kDemoVolume);
    if (!volume) return fail(volume.error());

    LoadOptions load;
    load.depth = 8;
    load.random = false;
    load.units_per_request = kFillRequestBytes / load.unit_bytes;
    load.total_bytes = job.volume_bytes;
    load.progress = [&](const LoadProgress& now) {
        shared.per_second = static_cast<std::uint32_t>(now.requests_per_second);
        shared.permille = static_cast<std::uint32_t>(now.percent * 10);
    };
    const auto begin = [&](Phase phase) {
        shared.permille = 0;
        shared.phase = phase;
    };
    begin(filling);
    if (const auto filled = run_load(*volume, load, job.table); !filled)
        return fail(filled.error());

    load.depth = kDemoDepth;
    load.random = true;
    load.units_per_request = 1;
    load.total_bytes = job.overwrite_bytes;
    begin(overwriting);
    if (const auto written = run_load(*volume, load, job.table); !written)
        return fail(written.error());
    begin(done);
    for (;;) ::pause();
}

Status Writer::wait_until(Phase phase, double percent, const Watch& watch) {
    while (shared_->phase < phase || (shared_->phase == phase && this->percent() < percent)) {
        int wait_status = 0;
        if (::waitpid(child_, &wait_status, WNOHANG) == child_) {
            child_ = -1;
            return ended(wait_status);
        }
        if (stop_requested) return fail(Errc::closed, "interrupted");
        if (watch && shared_->phase == phase) watch(this->percent(), per_second());
        std::this_thread::sleep_for(kPoll);
    }
    return {};
}

Status Writer::ended(int wait_status) const {
    if (WIFEXITED(wait_status)) return fail(shared_->error_code, "{}", shared_->error);
    return fail(Errc::io_error, "the writing process died of signal {}", WTERMSIG(wait_status));
}

void Writer::kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
}

double Writer::percent() const { return shared_->permille / 10.0; }
double Writer::per_second() const { return shared_->per_second; }

}  // namespace qlcshape::tools
