// SPDX-License-Identifier: Apache-2.0
#include "meta/superblock_store.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/buffer.h"
#include "base/canary.h"
#include "base/size_text.h"
#include "base/zeroes.h"
#include "meta/membership.h"
#include "meta/remedies.h"
#include "meta/superblock_places.h"

namespace qlcshape {

namespace {

struct Found : SeenSuperblock {
    std::uint32_t unit = 0;
    std::uint32_t slot = 0;
    bool next_blank = false;  // nothing lies after it in its unit
};

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

constexpr int kTries = 3;

// A record that can't be read this once must not count as damaged: an older one would be taken,
// and the unit of the newest one discarded next, after which the drive looks older than the others.
Result<Superblock> read_firmly(Device& device, std::uint64_t offset, std::uint64_t bytes,
                               Uuid* identity, IoQueue& queue) {
    for (int tries = 1;; ++tries) {
        auto record = read_record(device, offset, bytes, identity, queue);
        if (record || record.error().code == Errc::unsupported || tries == kTries) return record;
    }
}

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
Result<Found> newest_record(Device& device, const Places& places, IoQueue& queue) {
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
        Found found;
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

using FoundEach = std::vector<Result<Found>>;

// Each device by its own first block; those that have none there by the places that others tell.
FoundEach find_all(const std::vector<std::unique_ptr<Device>>& devices, IoQueue& queue) {
    FoundEach found(devices.size(), fail(Errc::foreign_device, "there is no superblock"));
    std::optional<ArrayLayout> hint;
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

// What to do with a drive without a whole superblock, which can't say which member it is: by the
// roles of the members that nobody else is.
const char* remedy_for_damaged(const FoundEach& found, const Uuid& array) {
    bool qlc = false, scm = false;
    for (const auto& f : found) {
        if (!f || f->superblock.array != array) continue;
        for (const MemberRecord& m : f->superblock.members) {
            if (std::ranges::any_of(found, [&](const auto& o) { return o && o->device == m.uuid; }))
                continue;
            (m.role == DeviceRole::qlc ? qlc : scm) = true;
        }
    }
    if (!scm) {
        return "restore its contents, or remove it from the array file: with no more than two qlc "
               "drives missing the array opens without them";
    }
    return qlc ? "restore its contents; if it is a qlc drive, you can remove it from the array "
                 "file, and the array opens without it, but every scm drive is needed"
               : "every scm drive is needed, so restore its contents";
}

constexpr const char* kOtherDrive =
    "it does not belong to this array: correct its path, or, if it was overwritten, ";

Status check_each(const std::vector<std::unique_ptr<Device>>& devices, const FoundEach& found) {
    std::map<Uuid, std::size_t> arrays;
    for (const auto& f : found) {
        if (f) ++arrays[f->superblock.array];
    }
    if (arrays.empty()) {
        for (std::size_t i = 0; i < devices.size(); ++i) {
            if (found[i].error().code != Errc::foreign_device) {
                return fail(found[i].error().code, "{}",
                            with_path(devices[i]->path(), found[i].error().message));
            }
        }
        return fail(
            Errc::foreign_device,
            "{}: there is no superblock on it, nor on any other device: is this the right array "
            "file, and was the array created?",
            devices[0]->path());
    }
    const Uuid array =
        std::max_element(arrays.begin(), arrays.end(), [](const auto& a, const auto& b) {
            return a.second < b.second;
        })->first;
    std::map<Uuid, std::size_t> seen;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const std::string& path = devices[i]->path();
        if (!found[i]) {
            if (found[i].error().code == Errc::unsupported) {
                return fail(Errc::unsupported,
                            "{}; if it isn't a drive of this array, correct its path",
                            with_path(path, found[i].error().message));
            }
            const bool foreign = found[i].error().code == Errc::foreign_device;
            return fail(found[i].error().code, "{}; {}{}",
                        with_path(path, found[i].error().message), foreign ? kOtherDrive : "",
                        remedy_for_damaged(found, array));
        }
        if (found[i]->superblock.array != array) {
            return fail(
                Errc::foreign_device,
                "{}: it belongs to array {} ({}), the others belong to {}; correct its path, or, "
                "if it was overwritten, {}",
                path, found[i]->superblock.array.to_string(), found[i]->superblock.name,
                array.to_string(), remedy_for_damaged(found, array));
        }
        auto [other, first] = seen.emplace(found[i]->device, i);
        if (!first) {
            return fail(Errc::duplicate_device,
                        "{}: it is the same member as {} (device UUID {}); name each once", path,
                        devices[other->second]->path(), found[i]->device.to_string());
        }
    }
    return {};
}

std::optional<std::size_t> member_of(const Superblock& superblock, const Uuid& device) {
    const auto at = std::ranges::find(superblock.members, device, &MemberRecord::uuid);
    if (at == superblock.members.end()) return std::nullopt;
    return static_cast<std::size_t>(at - superblock.members.begin());
}

// Of drives that take part. One that is out may have a record of an opening that was cut off.
Status check_histories(const std::vector<std::unique_ptr<Device>>& devices, const FoundEach& found,
                       const Superblock& newest, IoQueue& queue) {
    std::vector<SeenDrive> drives;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const auto member = member_of(newest, found[i]->device);
        if (!member || newest.members[*member].state != MemberState::out)
            drives.push_back({devices[i].get(), &*found[i]});
    }
    return refuse_diverged(histories_of(drives, queue));
}

// Members that missed superblocks.
Status refuse_stale(const std::vector<std::unique_ptr<Device>>& devices, const FoundEach& found,
                    const Superblock& newest) {
    std::uint64_t on_scm = 0;
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const auto member = member_of(newest, found[i]->device);
        if (!member) {
            return fail(Errc::foreign_device,
                        "{}: it is no longer a member of the array; remove it from the array file",
                        devices[i]->path());
        }
        if (newest.members[*member].role == DeviceRole::scm)
            on_scm = std::max(on_scm, found[i]->superblock.generation);
    }
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const std::uint64_t generation = found[i]->superblock.generation;
        const MemberRecord& member = newest.members[*member_of(newest, found[i]->device)];
        const bool scm = member.role == DeviceRole::scm;
        // Another process writes to it: the drives were read at different moments.
        if (devices[i]->held_elsewhere()) continue;
        const Standing standing = standing_of(newest, member, *found[i], on_scm);
        if (standing == Standing::diverged) return fail(diverged(devices[i]->path(), generation));
        if (standing != Standing::older) continue;
        return fail(Errc::stale_device,
                    "{}: it is older than the other drives (its superblock is of generation {}, "
                    "the array's of {}) and lacks what was written since; {}",
                    devices[i]->path(), generation, newest.generation,
                    scm ? kEveryScm : kWithoutQlc);
    }
    return {};
}

}  // namespace

Result<Discovery> discover(std::vector<std::unique_ptr<Device>> devices, const std::string& absent,
                           IoQueue& queue) {
    if (devices.empty() && absent.empty()) {
        return fail(Errc::invalid_argument, "no devices are given: name those of the array");
    }
    if (devices.empty()) {
        return fail(Errc::missing_device,
                    "none of the array's devices is present ({}); is this the right array file, "
                    "and was the array created?",
                    absent);
    }
    // A process that died may have left in the drives' caches what it never flushed. What is read
    // from here on must be there after a power cut, too: superblocks are replaced on the strength
    // of it, and what recovery finds, it decides for good. Who only reads decides nothing.
    std::vector<Device*> all;
    for (const auto& device : devices) {
        if (!device->read_only()) all.push_back(device.get());
    }
    QS_TRY(flush_drives(all, queue, PersistencePoint::open_flush));
    FoundEach found = find_all(devices, queue);
    QS_TRY(check_each(devices, found));
    Discovery d;
    std::vector<SeenMember> seen;
    for (const auto& f : found) seen.push_back({&f->superblock, f->device});
    d.superblock = newest_superblock(seen);
    QS_TRY(check_histories(devices, found, d.superblock, queue));
    QS_TRY(refuse_stale(devices, found, d.superblock));
    const ArrayLayout layout = *make_layout(d.superblock.parameters);
    for (const MemberRecord& record : d.superblock.members) {
        MemberDevice member;
        member.record = record;
        member.unit_bytes = record.role == DeviceRole::qlc ? layout.qlc_superblock_unit_bytes
                                                           : layout.scm_superblock_unit_bytes;
        d.members.push_back(std::move(member));
    }
    for (std::size_t i = 0; i < devices.size(); ++i) {
        const Found& f = *found[i];
        MemberDevice& member = d.members[*member_of(d.superblock, f.device)];
        const std::uint64_t needed = member.record.role == DeviceRole::qlc
                                         ? d.superblock.parameters.qlc_bytes
                                         : d.superblock.parameters.scm_bytes;
        if (devices[i]->geometry().capacity_bytes < needed) {
            return fail(Errc::damaged,
                        "{}: its size is {} ({} bytes), and {} are in use: it was truncated; {}",
                        devices[i]->path(), size_text(devices[i]->geometry().capacity_bytes),
                        devices[i]->geometry().capacity_bytes, needed,
                        member.record.role == DeviceRole::qlc ? kWithoutQlc : kEveryScm);
        }
        // Where an append may have been torn after the newest record: go on in the other unit.
        const bool clean = d.superblock.state == ArrayState::clean && f.next_blank &&
                           f.superblock.generation == d.superblock.generation;
        member.next = clean ? SuperblockPlace{f.unit, f.slot + 1, false}
                            : SuperblockPlace{f.unit ^ 1, 0, true};
        member.device = std::move(devices[i]);
    }
    for (const MemberDevice& m : d.members) {
        if (m.device != nullptr) continue;
        const bool scm = m.record.role == DeviceRole::scm;
        if (scm || ++d.missing_qlc > 2) {
            return fail(Errc::missing_device, "{} drive {} (device UUID {}) is missing{}{}: {}",
                        to_string(m.record.role), m.record.index, m.record.uuid.to_string(),
                        absent.empty() ? "" : "; could not open ", absent,
                        scm ? "every scm drive is needed to open"
                            : "no more than two qlc drives may be missing");
        }
    }
    return d;
}

std::vector<Result<SeenSuperblock>> see_superblocks(
    const std::vector<std::unique_ptr<Device>>& devices, IoQueue& queue) {
    std::vector<Result<SeenSuperblock>> seen;
    for (auto& found : find_all(devices, queue)) {
        if (found)
            seen.push_back(SeenSuperblock(std::move(*found)));
        else
            seen.push_back(fail(found.error()));
    }
    return seen;
}

std::vector<DriveHistory> histories_of(const std::vector<SeenDrive>& drives, IoQueue& queue) {
    std::vector<DriveHistory> histories;
    for (const auto& [device, seen] : drives) {
        const Superblock& s = seen->superblock;
        histories.push_back({device->path(), {s.generation, s.epoch, s.epoch_key}, seen->records});
    }
    if (diverged_drives(histories).empty()) return histories;
    for (std::size_t i = 0; i < drives.size(); ++i) {
        const auto& [device, seen] = drives[i];
        const std::uint64_t bytes =
            make_layout(seen->superblock.parameters)->superblock_record_bytes;
        std::erase_if(histories[i].records, [&](const SuperblockMark& mark) {
            Uuid identity;
            return !read_firmly(*device, mark.offset, bytes, &identity, queue);
        });
    }
    return histories;
}

ArrayContext context_of(const Discovery& discovery) {
    const Superblock& s = discovery.superblock;
    ArrayContext array(*make_layout(s.parameters));
    array.array = s.array;
    array.epoch = s.epoch;
    array.epoch_key = s.epoch_key;
    array.shards = s.shards;
    array.qlc.resize(array.layout.p.qlc_count);
    array.scm.resize(array.layout.p.scm_count);
    for (const MemberDevice& m : discovery.members) {
        (m.record.role == DeviceRole::qlc ? array.qlc : array.scm)[m.record.index] = m.device.get();
    }
    return array;
}

}  // namespace qlcshape
