// SPDX-License-Identifier: Apache-2.0
#include "tools/stamps.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/error.h"

namespace qlcshape::tools {

static_assert(std::atomic<Stamp>::is_always_lock_free && sizeof(StampTable::Entry) == 8);

namespace {

constexpr std::uint64_t kMagic = 0x3150545343515351;  // of a file of this format

}  // namespace

StampTable::StampTable(int fd, const Head& head)
    : map_bytes_(sizeof(Head) + head.units * sizeof(Entry)) {
    const int kind = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    void* memory = ::mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, kind, fd, 0);
    QS_ASSERT(memory != MAP_FAILED);
    head_ = static_cast<Head*>(memory);
    entries_ = reinterpret_cast<Entry*>(head_ + 1);  // zeroes are valid entries
    resumed_ = head_->magic == kMagic;
    if (!resumed_) *head_ = head;
}

StampTable::StampTable(std::uint64_t volume_bytes, std::uint64_t unit_bytes, std::uint64_t run_key,
                       bool fresh)
    : StampTable(-1, {kMagic, run_key, volume_bytes / unit_bytes, unit_bytes, fresh ? 1u : 0u}) {}

Result<std::unique_ptr<StampTable>> StampTable::on_file(const std::string& path,
                                                        std::uint64_t volume_bytes,
                                                        std::uint64_t unit_bytes,
                                                        std::uint64_t run_key) {
    const Head head{kMagic, run_key, volume_bytes / unit_bytes, unit_bytes, 0};
    const auto bytes = static_cast<::off_t>(sizeof(Head) + head.units * sizeof(Entry));
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail(Errc::invalid_argument, "{}: {}", path, std::strerror(errno));
    struct stat found {};
    const bool readable = ::fstat(fd, &found) == 0;
    if (!readable || (found.st_size != 0 && found.st_size != bytes) ||
        (found.st_size == 0 && ::ftruncate(fd, bytes) != 0)) {
        ::close(fd);
        return fail(Errc::invalid_argument,
                    "{}: does not fit a volume of {} bytes written in units of {}: remove it to "
                    "start again",
                    path, volume_bytes, unit_bytes);
    }
    std::unique_ptr<StampTable> table(new StampTable(fd, head));
    ::close(fd);
    if (table->head_->units == head.units && table->head_->unit_bytes == unit_bytes) return table;
    return fail(Errc::invalid_argument,
                "{}: belongs to another volume or --bs: remove it to start again", path);
}

StampTable::~StampTable() { ::munmap(head_, map_bytes_); }

Stamp StampTable::begin(std::uint64_t unit, Stamp flag) {
    Entry& entry = entries_[unit];
    const Stamp number = (entry.acknowledged & ~kZeroesStamp) + 1;
    entry.in_flight = number | flag;
    return number | flag;
}

Stamp StampTable::begin_read(std::uint64_t unit) {
    Entry& entry = entries_[unit];
    const Stamp stamp = entry.acknowledged;
    entry.in_flight = stamp == kNone ? kZeroesStamp : stamp;
    return stamp;
}

void StampTable::acknowledge(std::uint64_t unit, Stamp stamp) {
    entries_[unit].acknowledged = stamp;
    entries_[unit].in_flight = kNone;
}

bool StampTable::holds(std::span<const std::byte> bytes, std::uint64_t offset, Stamp stamp) const {
    return !known(stamp) || content_is(bytes, offset, run_key(), content(stamp));
}

std::string StampTable::describe(std::span<const std::byte> bytes, std::uint64_t offset,
                                 Stamp stamp) const {
    for (std::uint64_t at = 0; at < bytes.size(); at += kSector) {
        const auto sector = bytes.subspan(at, kSector);
        if (holds(sector, offset + at, stamp)) continue;
        return describe_sector(sector, offset + at, run_key(), content(stamp));
    }
    return "sectors that are each right, but not together";
}

}  // namespace qlcshape::tools
