// SPDX-License-Identifier: Apache-2.0
#include "meta/superblock_find.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/buffer.h"
#include "base/zeroes.h"
#include "meta/superblock_places.h"

namespace qlcshape {

namespace {

constexpr int kTries = 3;

Result<Superblock> read_record(Device& device, std::uint64_t offset, std::uint64_t bytes,
                               Uuid* identity, IoQueue& queue) {
    Buffer record(bytes);
    Io io;
    io.kind = IoKind::read;
    io.device = &device;
    io.offset = offset;
    io.bytes = bytes;
    io.data = record.data();
    QS_TRY(run(queue, io));
    return decode_superblock(record.span(), identity);
}

}  // namespace

Result<Superblock> read_firmly(Device& device, std::uint64_t offset, std::uint64_t bytes,
                               Uuid* identity, IoQueue& queue) {
    for (int tries = 1;; ++tries) {
        auto record = read_record(device, offset, bytes, identity, queue);
        if (record || record.error().code == Errc::unsupported || tries == kTries) return record;
    }
}

namespace {

bool is_blank(Device& device, const Places& places, std::uint32_t unit, std::uint32_t slot,
              IoQueue& queue) {
    if (slot >= places.slots()) return true;
    Buffer record(places.record_bytes);
    Io io;
    io.kind = IoKind::read;
    io.device = &device;
    io.offset = places.offset(unit, slot);
    io.bytes = record.size();
    io.data = record.data();
    if (!run(queue, io)) return false;
    return all_zero(record.span());
}

struct PeekAt : SuperblockPeek {
    std::uint64_t offset = 0;
};

// Whether all records of the newest one's array are for the same device, and it is one of such
// places. Otherwise a block was written to the wrong drive, and this one must not pass for another.
bool one_device(const std::vector<PeekAt>& peeks, const Places& places) {
    const auto newest =
        std::max_element(peeks.begin(), peeks.end(),
                         [](const auto& a, const auto& b) { return a.generation < b.generation; });
    return std::all_of(peeks.begin(), peeks.end(), [&](const SuperblockPeek& p) {
        return p.array != newest->array ||
               (p.device == newest->device && p.unit_bytes == places.unit_bytes);
    });
}

std::vector<SuperblockMark> marks_of(const std::vector<PeekAt>& peeks, const Uuid& array) {
    std::vector<SuperblockMark> marks;
    for (const PeekAt& p : peeks) {
        if (p.array == array) marks.push_back({p.generation, p.epoch, p.epoch_key, p.offset});
    }
    return marks;
}

// Neither a superblock's, of whatever version, nor blank. `peek`: what it was taken for.
bool is_garbage(std::span<const std::byte> block, const Result<SuperblockPeek>& peek) {
    return !peek && peek.error().code != Errc::unsupported && !all_zero(block);
}

// Garbage may have arrived wrong this once; of what stays so the last reading counts.
Status read_first_blocks(std::vector<Io>& ios, IoQueue& queue) {
    const auto doubtful = [](const Io& io) {
        const std::span block(io.data, kBlockBytes);
        return is_garbage(block, peek_superblock(block));
    };
    Status read = run(queue, ios);
    for (int tries = 1; tries < kTries; ++tries) {
        if (!read) {
            read = run(queue, ios);
            continue;
        }
        for (Io& io : ios) {
            if (read && doubtful(io)) read = run(queue, io);
        }
    }
    return read;
}

// The newest whole record of a device whose places are known. Where none is whole, the error says
// what is wrong with the newest one. First blocks are enough to sort by generation; then whole
// records are read, newest first, until one passes all checks.
Result<FoundSuperblock> newest_record(Device& device, const Places& places, IoQueue& queue) {
    const std::uint32_t slots = places.slots();
    if (places.offset(2, 0) > device.geometry().capacity_bytes) {
        return fail(Errc::foreign_device, "there is no superblock");
    }
    Buffer blocks(2 * slots * kBlockBytes);
    std::vector<Io> ios(2 * slots);
    for (std::uint32_t i = 0; i < 2 * slots; ++i) {
        ios[i].kind = IoKind::read;
        ios[i].device = &device;
        ios[i].offset = places.offset(i / slots, i % slots);
        ios[i].bytes = kBlockBytes;
        ios[i].data = blocks.data() + i * kBlockBytes;
    }
    QS_TRY(read_first_blocks(ios, queue));
    std::vector<std::pair<std::uint64_t, std::uint32_t>> order;  // generation, index
    std::vector<PeekAt> peeks;
    std::vector<bool> garbage(2 * slots);
    bool looks = false;
    for (std::uint32_t i = 0; i < 2 * slots; ++i) {
        const auto block = blocks.span().subspan(i * kBlockBytes, kBlockBytes);
        looks |= looks_like_superblock(block);
        const auto peek = peek_superblock(block);
        if (!peek && peek.error().code == Errc::unsupported) return fail(peek.error());
        garbage[i] = is_garbage(block, peek);
        if (!peek) continue;
        peeks.push_back({*peek, ios[i].offset});
        // A record of a drive with other places may happen to lie where this one's would.
        if (peek->record_bytes == places.record_bytes && peek->unit_bytes == places.unit_bytes)
            order.emplace_back(peek->generation, i);
    }
    std::sort(order.rbegin(), order.rend());
    if (!one_device(peeks, places)) {
        return fail(Errc::damaged, "its superblocks are of different drives");
    }
    Error first{Errc::damaged, "its superblock's checksum is wrong"};
    for (std::size_t n = 0; n < order.size(); ++n) {
        FoundSuperblock found;
        found.unit = order[n].second / slots;
        found.slot = order[n].second % slots;
        auto record = read_firmly(device, places.offset(found.unit, found.slot),
                                  places.record_bytes, &found.device, queue);
        if (record) {
            found.superblock = std::move(*record);
            found.next_blank =
                n == 0 && is_blank(device, places, found.unit, found.slot + 1, queue);
            found.newer_damaged = n != 0 || garbage[(found.unit ^ 1) * slots] ||
                                  (found.slot + 1 < slots && garbage[order[n].second + 1]);
            found.records = marks_of(peeks, found.superblock.array);
            return found;
        }
        if (n == 0) first = record.error();
        // A newer program wrote it: not to be passed over for an older record that this one knows.
        if (record.error().code == Errc::unsupported) return fail(first);
    }
    if (!order.empty() || looks) return fail(first);
    return fail(Errc::foreign_device, "there is no superblock");
}

// Places as the device's own first block tells them; none where it tells nothing. Of another format
// it tells that.
Result<std::optional<Places>> own_places(Device& device, IoQueue& queue) {
    Buffer block(kBlockBytes);
    Io io;
    io.kind = IoKind::read;
    io.device = &device;
    io.bytes = kBlockBytes;
    io.data = block.data();
    QS_TRY(run(queue, io));
    auto peek = peek_superblock(block.span());
    if (!peek && peek.error().code == Errc::unsupported) return fail(peek.error());
    if (!peek || peek->record_bytes < kSuperblockRecordMin || peek->record_bytes > 4 * MiB ||
        peek->record_bytes % kBlockBytes != 0 || peek->unit_bytes < peek->record_bytes ||
        peek->unit_bytes > device.geometry().capacity_bytes) {
        return std::nullopt;
    }
    return Places{peek->record_bytes, peek->unit_bytes};
}

}  // namespace

FoundEach find_all(const std::vector<std::unique_ptr<Device>>& devices, IoQueue& queue,
                   std::optional<ArrayLayout> hint) {
    FoundEach found(devices.size(), fail(Errc::foreign_device, "there is no superblock"));
    for (std::size_t i = 0; i < devices.size(); ++i) {
        auto places = own_places(*devices[i], queue);
        if (!places) found[i] = fail(places.error());
        if (!places || !*places) continue;
        found[i] = newest_record(*devices[i], **places, queue);
        if (found[i] && !hint) hint = *make_layout(found[i]->superblock.parameters);
    }
    if (!hint) return found;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        if (found[i] || found[i].error().code == Errc::unsupported) continue;
        for (std::uint64_t unit :
             {hint->qlc_superblock_unit_bytes, hint->scm_superblock_unit_bytes}) {
            auto again = newest_record(*devices[i], {hint->superblock_record_bytes, unit}, queue);
            if (again || again.error().code != Errc::foreign_device) found[i] = std::move(again);
            if (found[i]) break;
        }
    }
    return found;
}

std::optional<Uuid> most_frequent_array(std::span<const Result<SeenSuperblock>> seen) {
    std::map<Uuid, int> times;
    for (const auto& s : seen) {
        if (s) ++times[s->superblock.array];
    }
    const auto most =
        std::ranges::max_element(times, {}, [](const auto& entry) { return entry.second; });
    return most == times.end() ? std::nullopt : std::optional(most->first);
}

std::vector<Result<SeenSuperblock>> see_superblocks(
    const std::vector<std::unique_ptr<Device>>& devices, IoQueue& queue,
    std::optional<ArrayLayout> hint) {
    std::vector<Result<SeenSuperblock>> seen;
    for (auto& found : find_all(devices, queue, hint)) {
        if (found)
            seen.push_back(SeenSuperblock(std::move(*found)));
        else
            seen.push_back(fail(found.error()));
    }
    return seen;
}

}  // namespace qlcshape
