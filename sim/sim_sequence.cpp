// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_sequence.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <type_traits>
#include <vector>

#include "sim/sim_history.h"

namespace qlcshape::sim {

namespace {

static_assert(std::is_trivially_copyable_v<RunCounts>);  // it crosses processes
constexpr std::uint64_t kSeed = 1;
// Where blocks lie, all in the first page of the table.
constexpr std::uint64_t kOverwritten = 150;
constexpr std::uint64_t kTrimmed = 480, kTrimmedBlocks = 20;
constexpr auto kSteps = static_cast<std::uint64_t>(Step::count);

std::vector<Step> steps_of(std::uint64_t number) {
    std::uint64_t left = number - 1, length = 1;
    for (std::uint64_t count = kSteps; left >= count; count *= kSteps) {
        left -= count;
        ++length;
    }
    std::vector<Step> steps;
    for (; length != 0; --length, left /= kSteps) steps.push_back(static_cast<Step>(left % kSteps));
    return steps;
}

// In a child process, so that the parent's array stays as it is.
template <class Work>
void in_child(SequenceResult& result, Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
        work();
        std::_Exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0 && result.violation[0] == 0)
        std::strcpy(result.violation, "the engine ended itself (an assertion, or a signal)");
}

}  // namespace

std::string sequence_text(std::uint64_t number) {
    static constexpr const char* kNames[] = {"write",       "overwrite", "trim",       "flush",
                                             "large write", "gc",        "write back", "snapshot"};
    static_assert(std::size(kNames) == kSteps);
    std::string text;
    for (const Step step : steps_of(number))
        text += (text.empty() ? "" : ", ") + std::string(kNames[static_cast<std::size_t>(step)]);
    return text;
}

// More pages of the table than the cache holds.
void History::shape_for_sequences() {
    options_.name = "sim";
    options_.data_strips = 4;
    options_.strip_bytes = 32 * KiB;
    options_.band_bytes = 4 * options_.strip_bytes;
    options_.overprovision = 0.25;
    options_.shards = 1;
    add_media(64, {true, true, true, false});
    ops_.resize(1);
    ops_[0].data = Buffer(kLargest);
}

// Everything is written once, then some of it again until GC has moved a band.
void History::prepare_sequences() {
    if (!create() || !open_through_cuts()) return;
    fill();
    wait_and_cut([this] { return !ops_[0].busy; }, "an operation");
    do_step(Step::gc);
    one_op(Op::trim, kTrimmed, kTrimmedBlocks);
    rest();
}

void History::run_sequence(std::uint64_t number, SequenceResult& result) {
    result_ = RunResult{};
    cuts_ = &result;
    for (const Step step : steps_of(number)) {
        if (result.violation[0] == 0 && result_.violation.empty()) do_step(step);
    }
    if (result.violation[0] == 0 && result_.violation.empty()) rest();
    tell(result);
}

void History::tell(SequenceResult& result) const {
    result.sum.add(result_);
    if (result.violation[0] == 0)
        result_.violation.copy(result.violation, sizeof(result.violation) - 1);
}

void History::do_step(Step step) {
    const auto repeat = [&](const auto& counter, std::uint64_t most, const auto& one) {
        const std::uint64_t before = counter();
        for (std::uint64_t i = 0; i < most && counter() == before; ++i) one(i);
        return counter() != before;
    };
    const std::uint64_t blocks = volumes_[0]->sectors / kSectorsPerBlock;
    switch (step) {
        case Step::write:
            return one_op(Op::write, kTrimmed + 10, 1);
        case Step::overwrite:
            return one_op(Op::write, kOverwritten, 1);
        case Step::trim:
            return one_op(Op::trim, kOverwritten - 50, 300);
        case Step::flush:
            return one_op(Op::flush, 0, 0);
        case Step::large_write:
            return one_op(Op::write, kOverwritten + 150, 200);
        case Step::gc:
            if (!repeat([&] { return core_->stats().gc.bands_moved; }, 1000,
                        [&](std::uint64_t) {
                            one_op(Op::write, kPageEntries + rng_.below(blocks - kPageEntries - 64),
                                   64);
                        }))
                violate("GC moves no band");
            return;
        case Step::write_back:
            repeat([&] { return core_->stats().pmt.write_backs; }, div_up(blocks, kPageEntries),
                   [&](std::uint64_t page) { one_op(Op::read, page * kPageEntries, 1); });
            return;
        case Step::snapshot: {
            const std::uint64_t before = core_->stats().pmt.snapshots;
            core_->ask_snapshot();
            return wait_and_cut([&] { return core_->stats().pmt.snapshots != before; },
                                "a snapshot");
        }
        case Step::count:
            return;
    }
}

void History::one_op(Op kind, std::uint64_t first_block, std::uint64_t blocks) {
    SimOp& op = ops_[0];
    op.volume = volumes_[0].get();
    op.first_sector = first_block * kSectorsPerBlock;
    op.sectors = blocks * kSectorsPerBlock;
    submit(op, kind);
    wait_and_cut([&] { return !op.busy; }, "an operation");
}

// Until all that was begun has ended.
void History::rest() {
    std::uint64_t events = world_.events(), quiet = 0;
    wait_and_cut(
        [&] {
            quiet = world_.events() == events ? quiet + 1 : 0;
            events = world_.events();
            return quiet > 200;
        },
        "rest");
}

void History::wait_and_cut(const std::function<bool()>& done, const char* what) {
    for (std::uint64_t i = 0; !done() && result_.violation.empty(); ++i) {
        const std::uint64_t before = world_.events();
        poll_something();
        if (cuts_ != nullptr && cuts_->violation[0] == 0 && world_.events() != before) cut_here();
        if (i > 5000000) violate(fmt::format("it never ends: {}", what));
    }
}

void History::cut_here() {
    in_child(*cuts_, [this] {
        SequenceResult& result = *cuts_;
        cuts_ = nullptr;
        const std::uint64_t event = world_.events();
        result_ = RunResult{};
        before_ = core_->stats();
        note_state();
        world_.cut();
        ++result_.crashes;
        drop();
        if (open_through_cuts()) rng_.chance(1, 8) ? close_clean() : crash();
        if (!result_.violation.empty())
            result_.violation = fmt::format("cut after event {}: {}", event, result_.violation);
        tell(result);
    });
}

RunResult run_sequence(std::uint64_t number) {
    static History* const prepared = [] {
        auto* history = new History(kSeed, Profile::sequences);
        history->prepare_sequences();
        return history;
    }();
    RunResult out;
    out.violation = prepared->violation();
    if (!out.violation.empty()) return out;
    void* memory = ::mmap(nullptr, sizeof(SequenceResult), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    QS_ASSERT(memory != MAP_FAILED);
    auto& result = *new (memory) SequenceResult{};
    in_child(result, [&] { prepared->run_sequence(number, result); });
    static_cast<RunCounts&>(out) = result.sum;
    if (result.violation[0] != 0)
        out.violation = fmt::format("{}: {}", sequence_text(number), result.violation);
    ::munmap(memory, sizeof(SequenceResult));
    return out;
}

}  // namespace qlcshape::sim
