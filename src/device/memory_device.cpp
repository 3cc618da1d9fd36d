// SPDX-License-Identifier: Apache-2.0
#include "device/memory_device.h"

#include <sys/mman.h>
#include <unistd.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "base/assert.h"
#include "base/size_text.h"
#include "base/types.h"

namespace qlcshape {

// The bytes of one name. `bytes` and the counts change only under the mutex of all media, and the
// mapping only while nobody has it open.
struct Medium {
    std::string name;  // no other process has one of it
    std::byte* data = nullptr;
    std::uint64_t bytes = 0;
    unsigned writers = 0;
    unsigned readers = 0;
    unsigned inspectors = 0;

    explicit Medium(std::uint64_t number) : name(fmt::format("memory-{}-{}", ::getpid(), number)) {}
    Medium(const Medium&) = delete;
    Medium& operator=(const Medium&) = delete;
    ~Medium() {
        if (data != nullptr) ::munmap(data, bytes);
    }

    unsigned& openers(Access access) {
        if (access == Access::read_write) return writers;
        return access == Access::read_only ? readers : inspectors;
    }
};

namespace {

struct NamedMedia {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<Medium>> media;
    std::uint64_t made = 0;
};

// Never destroyed: devices may be closed late at exit.
NamedMedia& named_media() {
    static auto* all = new NamedMedia;
    return *all;
}

// A drive fetches its data itself, past the caches of whoever submits. Stores past the caches come
// nearest to that: they neither read the place first nor push the writer's own data out.
void write_past_caches(std::byte* to, const std::byte* from, std::uint64_t bytes) {
#if defined(__SSE2__)
    static_assert(kSectorBytes % 64 == 0, "the unit of transfers on any drive");
    for (std::uint64_t at = 0; at < bytes; at += 64) {
        const auto* source = reinterpret_cast<const __m128i*>(from + at);
        auto* place = reinterpret_cast<__m128i*>(to + at);
        for (int i = 0; i < 4; ++i) _mm_stream_si128(place + i, _mm_load_si128(source + i));
    }
    _mm_sfence();  // whoever hears of the completion sees the bytes
#else
    std::memcpy(to, from, bytes);
#endif
}

Status resize(Medium& medium, const std::string& path, std::uint64_t bytes) {
    constexpr int kProtection = PROT_READ | PROT_WRITE;
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* place = medium.data == nullptr
                      ? ::mmap(nullptr, bytes, kProtection, kFlags, -1, 0)
                      : ::mremap(medium.data, medium.bytes, bytes, MREMAP_MAYMOVE);
    if (place == MAP_FAILED) {
        return fail(Errc::no_space, "{}: can't reserve {} of address space: {}", path,
                    size_text(bytes), std::strerror(errno));
    }
    ::madvise(place, bytes, MADV_HUGEPAGE);  // only faster
    medium.data = static_cast<std::byte*>(place);
    medium.bytes = bytes;
    return {};
}

Status check_free(const Medium& medium, const std::string& path, Access access) {
    if (access == Access::inspect) return {};
    const bool taken = medium.writers > 0 || (access == Access::read_write && medium.readers > 0);
    if (!taken) return {};
    return fail(Errc::busy, "{}: in use by this process; close it there first", path);
}

Status settle_size(Medium& medium, const std::string& path, std::uint64_t size_bytes, bool make) {
    if (size_bytes == 0 || size_bytes == medium.bytes) return {};
    if (!make || size_bytes < medium.bytes) {
        return fail(Errc::invalid_argument,
                    "{}: its size is {} ({} bytes), but {} ({} bytes) was given; give its true "
                    "size, or another name",
                    path, size_text(medium.bytes), medium.bytes, size_text(size_bytes), size_bytes);
    }
    if (medium.inspectors > 0) {
        return fail(Errc::busy, "{}: can't grow while it is inspected; close it there first", path);
    }
    return resize(medium, path, size_bytes);
}

Result<std::shared_ptr<Medium>> make_medium(const std::string& path, std::uint64_t size_bytes) {
    if (size_bytes < kBlockBytes || size_bytes % kBlockBytes != 0) {
        return fail(
            Errc::invalid_argument,
            "{}: a new memory device needs a size that is a multiple of 4 KiB, not {} bytes", path,
            size_bytes);
    }
    auto medium = std::make_shared<Medium>(++named_media().made);
    QS_TRY(resize(*medium, path, size_bytes));
    return medium;
}

}  // namespace

MemoryDevice::MemoryDevice(std::string path, Geometry geometry, std::shared_ptr<Medium> medium,
                           Access access)
    : Device(std::move(path), geometry, medium->name),
      medium_(std::move(medium)),
      access_(access) {}

MemoryDevice::~MemoryDevice() {
    const std::lock_guard lock(named_media().mutex);
    --medium_->openers(access_);
}

void MemoryDevice::start(Io& io, IoQueue& queue) {
    std::byte* place = medium_->data + io.offset;
    switch (io.kind) {
        case IoKind::read:
            std::memcpy(io.data, place, io.bytes);
            break;
        case IoKind::write:
            io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
                write_past_caches(place, data, bytes);
                place += bytes;
            });
            break;
        case IoKind::flush:
        case IoKind::discard:
            // The memory is kept: to give it back would make the next write pay for page faults.
            break;
    }
    queue.complete(io, 0);
}

Result<std::unique_ptr<Device>> open_memory_device(const std::string& path,
                                                   std::uint64_t size_bytes, Access access,
                                                   bool make) {
    const std::lock_guard lock(named_media().mutex);
    auto& media = named_media().media;
    auto found = media.find(path);
    if (found == media.end()) {
        if (!make) {
            return fail(Errc::missing_device,
                        "{}: does not exist; memory devices end with the process that created them",
                        path);
        }
        Result<std::shared_ptr<Medium>> made = make_medium(path, size_bytes);
        QS_TRY(made);
        found = media.emplace(path, *std::move(made)).first;
    }
    Medium& medium = *found->second;
    QS_TRY(check_free(medium, path, access));
    QS_TRY(settle_size(medium, path, size_bytes, make));
    ++medium.openers(access);
    Geometry geometry;
    geometry.capacity_bytes = medium.bytes;
    geometry.atomic_write_bytes = kBlockBytes;
    geometry.volatile_cache = false;
    auto device = std::make_unique<MemoryDevice>(path, geometry, found->second, access);
    device->set_held_elsewhere(access == Access::inspect && medium.writers > 0);
    return device;
}

std::string memory_medium_of(const std::string& path) {
    const std::lock_guard lock(named_media().mutex);
    const auto found = named_media().media.find(path);
    return found == named_media().media.end() ? "" : found->second->name;
}

// Whoever has it open keeps what it holds until it is closed.
void forget_memory_device(const std::string& path) {
    const std::lock_guard lock(named_media().mutex);
    named_media().media.erase(path);
}

}  // namespace qlcshape
