// SPDX-License-Identifier: Apache-2.0
#include "tools/stamps.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/assert.h"
#include "base/error.h"
#include "base/size_text.h"

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
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return in_new_file(path, head);
    if (fd < 0) return fail(Errc::invalid_argument, "{}: {}", path, std::strerror(errno));
    if (const Status fits = check_file(fd, path, head.units, unit_bytes); !fits) {
        ::close(fd);
        return fail(fits.error());
    }
    std::unique_ptr<StampTable> table(new StampTable(fd, head));
    ::close(fd);
    return table;
}

// It gets its name when it is whole: what a kill leaves at `path` is a state, or nothing. Its space
// is reserved, for a write to memory can't say that there is none.
Result<std::unique_ptr<StampTable>> StampTable::in_new_file(const std::string& path,
                                                            const Head& head) {
    std::string unnamed = path + ".XXXXXX";
    const int fd = ::mkostemp(unnamed.data(), O_CLOEXEC);
    if (fd < 0) return fail(Errc::invalid_argument, "{}: {}", path, std::strerror(errno));
    const std::size_t bytes = sizeof(Head) + head.units * sizeof(Entry);
    int cause = ::posix_fallocate(fd, 0, static_cast<::off_t>(bytes));
    std::unique_ptr<StampTable> table;
    if (cause == 0) {
        table.reset(new StampTable(fd, head));
        if (::renameat2(AT_FDCWD, unnamed.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0)
            cause = errno;
    }
    ::close(fd);
    if (cause == 0) return table;
    ::unlink(unnamed.c_str());
    return fail(Errc::io_error, "{}: can't be made: {}", path, std::strerror(cause));
}

// Only the state of such a volume will do. Any other file, a drive of the array or an empty one of
// somebody's, must be neither written nor, on our advice, removed.
Status StampTable::check_file(int fd, const std::string& path, std::uint64_t units,
                              std::uint64_t unit_bytes) {
    struct stat status {};
    Head found{};
    const bool state = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                       ::pread(fd, &found, sizeof(found), 0) == sizeof(found) &&
                       found.magic == kMagic;
    if (!state) {
        return fail(Errc::invalid_argument,
                    "{}: it is not a file of --verify-state{}; name another, or one that does not "
                    "exist yet",
                    path, status.st_size == 0 && S_ISREG(status.st_mode) ? ", it is empty" : "");
    }
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    if (found.units != units || found.unit_bytes != unit_bytes) {
        return fail(Errc::invalid_argument,
                    "{}: it is the state of a volume of {} written in units of {}, not of one of "
                    "{} in units of {}; name another file",
                    path, size_text(found.units * found.unit_bytes), size_text(found.unit_bytes),
                    size_text(units * unit_bytes), size_text(unit_bytes));
    }
    if (bytes != sizeof(Head) + units * sizeof(Entry)) {
        return fail(Errc::invalid_argument, "{}: it was truncated; name another file", path);
    }
    return {};
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
