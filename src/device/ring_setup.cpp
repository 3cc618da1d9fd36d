// SPDX-License-Identifier: Apache-2.0
// The part of Ring that runs once or rarely: making and unmaking it, and registering files and
// memory.
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <new>

#include "base/assert.h"
#include "base/types.h"
#include "device/ring.h"

namespace qlcshape {

namespace {

// Held where queues are mapped and unmapped. The kernel may map a ring where another thread's lay a
// moment ago, and knows that the two are in order; ThreadSanitizer, which doesn't see these system
// calls, knows it by this lock.
std::mutex mapping;

}  // namespace

std::uint64_t Ring::thread_number() {
    static std::atomic<std::uint64_t> last{0};
    static thread_local const std::uint64_t number = ++last;
    return number;
}

std::expected<std::unique_ptr<Ring>, int> Ring::make(Use use, int wake_fd) {
    std::unique_ptr<Ring> ring;
    try {
        ring.reset(new Ring(use, wake_fd));
        ring->requests_.resize(ring->size_.completions);
    } catch (const std::bad_alloc&) {
        return std::unexpected(ENOMEM);
    }
    for (std::uint32_t i = ring->size_.completions; i-- > 0;) {
        ring->requests_[i].next = ring->free_;
        ring->free_ = i;
    }
    if (const int refused = ring->set_up(); refused != 0) return std::unexpected(refused);
    if (use == Use::one_thread) ring->register_files();
    return ring;
}

int Ring::set_up() {
    constexpr unsigned kFlagSets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,  // 6.1
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,  // 5.19
        0,
    };
    int refused = 0;
    for (const unsigned flags : kFlagSets) {
        if (use_ == Use::shared && (flags & IORING_SETUP_SINGLE_ISSUER) != 0) continue;
        io_uring_params params{};
        params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
        params.cq_entries = size_.completions;
        const std::lock_guard lock(mapping);
        refused = -io_uring_queue_init_params(size_.submissions, &ring_, &params);
        if (refused != 0) continue;
        // EXT_ARG: waits with a timeout (5.11). Before that blocking calls serve better.
        const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
        refused = (params.features & needed) == needed ? try_to_enter() : EOPNOTSUPP;
        ring_made_ = refused == 0;
        if (!ring_made_) io_uring_queue_exit(&ring_);
        return refused;
    }
    return refused;
}

// A system call filter may allow io_uring_setup and forbid io_uring_enter.
int Ring::try_to_enter() {
    io_uring_prep_nop(io_uring_get_sqe(&ring_));
    int entered;
    do {
        entered = io_uring_submit_and_wait(&ring_, 1);
    } while (entered == -EINTR || entered == -EAGAIN || entered == -EBUSY);
    io_uring_cqe* cqe = nullptr;
    int waited = entered;
    while (waited >= 0 && cqe == nullptr) {
        waited = io_uring_wait_cqe(&ring_, &cqe);
        if (waited == -EINTR || waited == -EAGAIN) waited = 0;
    }
    if (cqe == nullptr) return -waited;
    io_uring_cqe_seen(&ring_, cqe);
    return 0;
}

Ring::~Ring() {
    if (!ring_made_) return;
    // At once, where closing the ring would do it some time later; but it waits for all that is
    // under way.
    if (files_registered_ && idle()) io_uring_unregister_files(&ring_);
    const std::lock_guard lock(mapping);
    io_uring_queue_exit(&ring_);
}

void Ring::register_files() {
    std::array<int, kFileSlots> empty;
    empty.fill(-1);
    files_registered_ = io_uring_register_files(&ring_, empty.data(), kFileSlots) == 0;
}

// Pinned memory counts against RLIMIT_MEMLOCK, as rings do.
int Ring::register_memory(std::span<const std::span<std::byte>> memory) {
    constexpr std::size_t kMaxRegionBytes = GiB;  // the kernel's limit
    std::vector<iovec> vectors;
    for (const auto& part : memory) {
        for (std::size_t at = 0; at < part.size(); at += kMaxRegionBytes) {
            const std::size_t bytes = std::min(kMaxRegionBytes, part.size() - at);
            regions_.push_back({part.data() + at, bytes, static_cast<int>(vectors.size())});
            vectors.push_back({part.data() + at, bytes});
        }
    }
    if (vectors.empty()) return 0;
    const auto count = static_cast<unsigned>(vectors.size());
    const int refused = -io_uring_register_buffers(&ring_, vectors.data(), count);
    if (refused != 0) regions_.clear();
    std::ranges::sort(regions_, {}, &Region::begin);
    return refused;
}

int Ring::region_of(const Io& io) const {
    auto after = std::ranges::upper_bound(regions_, io.data, {}, &Region::begin);
    if (after == regions_.begin()) return -1;
    const Region& region = *--after;
    const auto inside = static_cast<std::size_t>(io.data - region.begin);
    const bool holds = inside < region.bytes && io.bytes <= region.bytes - inside;
    return holds ? region.index : -1;
}

// A file's slot follows from its number; two open files that share one take turns by having the
// later use its descriptor.
bool Ring::find_slot(const std::shared_ptr<const OpenFile>& file, int& slot) {
    if (!files_registered_) return false;
    FileSlot& entry = slots_[file->number % kFileSlots];
    slot = static_cast<int>(file->number % kFileSlots);
    if (entry.number == file->number) return true;
    if (!entry.file.expired()) return false;
    drop_closed_files();
    if (io_uring_register_files_update(&ring_, static_cast<unsigned>(slot), &file->fd, 1) != 1) {
        return false;
    }
    entry = {file->number, file};
    return true;
}

// The table keeps files open that their owners have closed.
void Ring::drop_closed_files() {
    const int none = -1;
    for (unsigned i = 0; i < kFileSlots; ++i) {
        if (slots_[i].number == 0 || !slots_[i].file.expired()) continue;
        io_uring_register_files_update(&ring_, i, &none, 1);
        slots_[i] = {};
    }
}

}  // namespace qlcshape
