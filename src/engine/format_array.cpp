// SPDX-License-Identifier: Apache-2.0
#include "engine/format_array.h"

#include <algorithm>
#include <bit>
#include <span>

#include "base/buffer.h"
#include "base/size_text.h"
#include "device/medium.h"
#include "format/bitmap_page.h"
#include "meta/keeper.h"
#include "meta/superblock_store.h"

namespace qlcshape {

Status check_iu(const std::string& path, const Geometry& g, std::uint64_t strip_bytes) {
    if (strip_bytes % g.iu_bytes == 0) return {};
    return fail(Errc::invalid_argument,
                "{}: its indirection unit is {}, and strip = {} is not a multiple of it", path,
                size_text(std::uint64_t{g.iu_bytes}), size_text(strip_bytes));
}

namespace {

// Of a device's start and of its end: data there means that it is in use.
constexpr std::uint64_t kLookBytes = MiB;

DeviceRole role_of(Role role) {
    switch (role) {
        case Role::qlc:
            return DeviceRole::qlc;
        case Role::scm:
            return DeviceRole::scm;
    }
    return DeviceRole::qlc;
}

// 128 MiB, or less so that a small drive has a good number of bands; whole erase units where they
// are known. A drive of 2 GiB: a hundredth, down to a power of two, 16 MiB, so 126 bands.
std::uint64_t default_band_bytes(const ArrayParameters& p, std::uint64_t erase_unit) {
    std::uint64_t band = std::min<std::uint64_t>(
        128 * MiB, std::bit_floor(std::max<std::uint64_t>(p.qlc_bytes / 100, 1)));
    band = std::max(band, 8 * p.strip_bytes);
    return erase_unit == 0 ? band : round_up(round_up(band, erase_unit), p.strip_bytes);
}

// All drives of a role are used alike: up to the size of the smallest, in strips that suit every
// indirection unit and bands that suit the largest erase unit. `create` says how much of the larger
// ones is left unused.
Result<ArrayParameters> parameters_of(const Options& o, const std::vector<Geometry>& geometries) {
    if (!(o.overprovision >= 0 && o.overprovision < 1)) {
        return fail(Errc::invalid_argument, "overprovision is {}: it must be from 0.02 to 0.9",
                    o.overprovision);
    }
    ArrayParameters p;
    p.data_strips = o.data_strips;
    p.strip_bytes = o.strip_bytes;
    p.overprovision_ppm = static_cast<std::uint32_t>(o.overprovision * 1e6 + 0.5);
    p.max_shards = o.shards;
    p.max_gc_threads = o.gc_threads;
    p.pmt_copies = o.pmt_copies;
    p.qlc_count = p.scm_count = 0;
    p.qlc_bytes = p.scm_bytes = UINT64_MAX;
    std::uint64_t erase_unit = 0;
    for (std::size_t i = 0; i < geometries.size(); ++i) {
        const Geometry& g = geometries[i];
        if (o.devices[i].role == Role::qlc) {
            ++p.qlc_count;
            p.qlc_bytes = std::min(p.qlc_bytes, g.capacity_bytes);
            erase_unit = std::max(erase_unit, g.erase_unit_bytes);
            QS_TRY(check_iu(o.devices[i].path, g, p.strip_bytes));
        } else {
            ++p.scm_count;
            p.scm_bytes = std::min(p.scm_bytes, g.capacity_bytes);
        }
    }
    if (p.qlc_count == 0 || p.scm_count == 0) {
        return fail(Errc::invalid_argument,
                    "an array needs qlc and scm devices, and the array file names {} and {}",
                    p.qlc_count, p.scm_count);
    }
    const std::uint32_t width = p.data_strips + 2;
    p.spare_drives = o.spare_drives.value_or(p.qlc_count > width ? 1 : 0);
    p.band_bytes = o.band_bytes != 0 ? o.band_bytes : default_band_bytes(p, erase_unit);
    return p;
}

Status check_zeroes(Device& device, std::uint64_t offset, std::span<std::byte> bytes,
                    IoQueue& queue) {
    Io io;
    io.kind = IoKind::read;
    io.device = &device;
    io.offset = offset;
    io.bytes = bytes.size();
    io.data = bytes.data();
    QS_TRY(run(queue, io));
    if (offset == 0 && looks_like_superblock(bytes)) {
        return fail(
            Errc::exists,
            "{}: it belongs to an array; give another path, or --force to destroy what is on it",
            device.path());
    }
    const auto data = std::ranges::find_if(bytes, [](std::byte b) { return b != std::byte{0}; });
    if (data == bytes.end()) return {};
    return fail(
        Errc::exists,
        "{}: there is data on it (at offset {}); give another path, or --force to destroy it",
        device.path(), offset + static_cast<std::uint64_t>(data - bytes.begin()));
}

}  // namespace

// A partition table, a file system or an array has something within the first or the last MiB; of
// other data a look at places in between finds most.
Status check_empty(Device& device, IoQueue& queue) {
    constexpr std::uint64_t kSamples = 64;
    const std::uint64_t capacity = device.geometry().capacity_bytes;
    const Buffer memory(kLookBytes + kBlockBytes);
    const auto look = [&](std::uint64_t offset, std::uint64_t most) {
        return check_zeroes(device, offset, memory.span().first(std::min(most, capacity - offset)),
                            queue);
    };
    QS_TRY(look(0, kLookBytes));
    if (capacity <= kLookBytes) return {};
    QS_TRY(look((capacity - kLookBytes) / kBlockBytes * kBlockBytes, memory.size()));
    for (std::uint64_t i = 1; i < kSamples; ++i)
        QS_TRY(look(capacity / kSamples * i / kBlockBytes * kBlockBytes, kBlockBytes));
    return {};
}

Status erase_drive(const MemberDevice& m, const ArrayLayout& l, IoQueue& queue) {
    Io io;
    io.point = PersistencePoint::create;
    io.device = m.device.get();
    if (m.record.role == DeviceRole::qlc) {
        // In pieces, each of which is soon done.
        io.kind = IoKind::discard;
        const std::uint64_t end = round_down(l.p.qlc_bytes, l.p.band_bytes);
        const std::uint64_t piece = std::max(l.p.band_bytes, round_down(GiB, l.p.band_bytes));
        for (; io.offset < end; io.offset += io.bytes) {
            io.bytes = std::min(piece, end - io.offset);
            QS_TRY(run(queue, io));
        }
    }
    const Buffer zeroes(l.p.strip_bytes);
    io.kind = IoKind::write;
    io.bytes = l.p.strip_bytes;
    io.data = zeroes.data();
    const std::uint64_t used = std::min(kSuperblockSlots * l.superblock_record_bytes, m.unit_bytes);
    for (std::uint64_t unit = 0; unit < 2; ++unit) {
        for (std::uint64_t at = 0; at + io.bytes <= used; at += io.bytes) {
            io.offset = unit * m.unit_bytes + at;
            QS_TRY(run(queue, io));
        }
    }
    Device* const device = m.device.get();
    return flush_drives({&device, 1}, queue, PersistencePoint::create);
}

namespace {

Status write_to_mirrors(const ArrayContext& array, std::uint64_t offset, const Buffer& block,
                        IoQueue& queue) {
    for (Device* scm : array.scm.all()) {
        Io io;
        io.kind = IoKind::write;
        io.point = PersistencePoint::create;
        io.device = scm;
        io.offset = offset;
        io.bytes = block.size();
        io.data = block.data();
        QS_TRY(run(queue, io));
    }
    return {};
}

// Generation 1, which is odd: place B. Place A may hold anything of another array.
Status write_empty_band_table(const ArrayContext& array, IoQueue& queue) {
    BandTable bands(array.layout);
    Buffer block(kBlockBytes);
    for (std::uint64_t page = 0; page < array.layout.band_table_pages; ++page) {
        encode_band_page(array, bands, page, 1, block.data());
        QS_TRY(write_to_mirrors(array, array.layout.band_page_offset(page, 1), block, queue));
    }
    return {};
}

// Generations 1 and 2. No page of the table is written: none counts before its bit is set.
Status write_empty_bitmap(const ArrayContext& array, IoQueue& queue) {
    Buffer block(kBlockBytes);
    for (std::uint64_t page = 0; page < array.layout.bitmap_pages; ++page) {
        for (std::uint64_t generation = 1; generation <= 2; ++generation) {
            BitmapPage(block.data()).seal(array.array, page, generation);
            QS_TRY(write_to_mirrors(array, array.layout.bitmap_page_offset(page, generation), block,
                                    queue));
        }
    }
    return {};
}

}  // namespace

MemberRecord new_member(const ArrayParameters& parameters, DeviceRole role, std::uint16_t index,
                        const Device& device, Random& random) {
    const Geometry& g = device.geometry();
    MemberRecord m = make_member(parameters, role, index);
    m.uuid = Uuid::random(random);
    m.capacity_bytes = g.capacity_bytes;
    m.iu_bytes = g.iu_bytes;
    m.block_bytes = g.block_bytes;
    m.erase_unit_bytes = g.erase_unit_bytes;
    return m;
}

namespace {

Status check_array_name(const std::string& name) {
    if (name.empty() || name.size() >= kNameBytes) {
        return fail(Errc::invalid_argument, "array name '{}': it must have 1 to {} bytes", name,
                    kNameBytes - 1);
    }
    if (std::ranges::any_of(name, [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
        return fail(Errc::invalid_argument,
                    "the array's name has a control character, which can't be printed; leave it "
                    "out");
    }
    return {};
}

std::string name_of(const DeviceOptions& d) {
    return d.where.empty() ? d.path : fmt::format("{} ({})", d.path, d.where);
}

// Before it is opened: its lock would be said to be this process's. `media`: of those before it;
// each is looked at once, since it may not answer for long.
Status check_other_media(const Options& options, std::vector<std::string>& media) {
    const DeviceOptions& d = options.devices[media.size()];
    std::string medium = medium_of(d.path);
    const auto other = std::ranges::find(media, medium);
    if (other != media.end() && !medium.empty()) {
        const auto index = static_cast<std::size_t>(other - media.begin());
        return fail(Errc::duplicate_device,
                    "{}: it is the same file or device as {}; give each device its own path",
                    name_of(d), name_of(options.devices[index]));
    }
    media.push_back(std::move(medium));
    return {};
}

}  // namespace

Result<std::vector<std::unique_ptr<Device>>> make_devices(const Options& options, MadeFiles& made) {
    std::vector<std::unique_ptr<Device>> devices;
    std::vector<std::string> media;
    for (const DeviceOptions& d : options.devices) {
        QS_TRY(check_other_media(options, media));
        auto device = made.open(d);
        if (!device) return fail(device.error());
        media.back() = medium_of(d.path);  // it is there now
        devices.push_back(std::move(*device));
    }
    return devices;
}

Result<std::vector<std::unique_ptr<Device>>> open_devices(const Options& options, Access access,
                                                          std::vector<Unusable>* absent) {
    std::vector<std::unique_ptr<Device>> devices;
    std::vector<std::string> media;
    for (const DeviceOptions& d : options.devices) {
        QS_TRY(check_other_media(options, media));
        auto device = open_device(d.path, 0, access, false);
        if (device) {
            devices.push_back(std::move(*device));
        } else if (absent != nullptr && (device.error().code == Errc::missing_device ||
                                         device.error().code == Errc::device_failed)) {
            absent->push_back({d.path, device.error()});
        } else {
            return fail(device.error());
        }
    }
    return devices;
}

// As far as the options alone tell, by the same code that format_array() uses with the real drives.
Status check_plan(const Options& options) {
    QS_TRY(check_array_name(options.name));
    std::vector<Geometry> geometries;
    for (const DeviceOptions& d : options.devices) {
        if (d.size_bytes == 0) return {};  // only the device itself can tell
        geometries.push_back(Geometry{.capacity_bytes = d.size_bytes});
    }
    auto parameters = parameters_of(options, geometries);
    if (!parameters) return fail(parameters.error());
    auto layout = make_layout(*parameters);
    return layout ? Status{} : fail(layout.error());
}

Status format_array(const Options& options, std::vector<std::unique_ptr<Device>>& devices,
                    bool force, Random& random, IoQueue& queue) {
    QS_TRY(check_array_name(options.name));
    std::vector<Geometry> geometries;
    for (const auto& device : devices) geometries.push_back(device->geometry());
    auto parameters = parameters_of(options, geometries);
    if (!parameters) return fail(parameters.error());
    auto layout = make_layout(*parameters);
    if (!layout) return fail(layout.error());
    for (auto& device : devices) {
        if (!force) QS_TRY(check_empty(*device, queue));
    }

    ArrayContext array(*layout);
    array.array = Uuid::random(random);
    Superblock superblock;
    superblock.array = array.array;
    superblock.name = options.name;
    superblock.parameters = layout->p;
    std::vector<MemberDevice> members;
    std::uint16_t indexes[2] = {0, 0};
    for (std::size_t i = 0; i < devices.size(); ++i) {
        MemberDevice m;
        const DeviceRole role = role_of(options.devices[i].role);
        const bool qlc = role == DeviceRole::qlc;
        m.record = new_member(*parameters, role, indexes[qlc ? 0 : 1]++, *devices[i], random);
        m.unit_bytes = qlc ? layout->qlc_superblock_unit_bytes : layout->scm_superblock_unit_bytes;
        superblock.members.push_back(m.record);
        if (qlc)
            array.qlc.push_back(devices[i].get());
        else
            array.scm.push_back(devices[i].get());
        m.device = std::move(devices[i]);
        members.push_back(std::move(m));
    }
    // Old superblocks first: a cut from here on leaves devices that belong to no array. A discard
    // may leave the bytes as they are, so they are overwritten as well.
    for (MemberDevice& m : members) QS_TRY(erase_drive(m, *layout, queue));
    QS_TRY(write_empty_band_table(array, queue));
    QS_TRY(write_empty_bitmap(array, queue));
    for (Device* scm : array.scm.all()) {
        Io io;
        io.kind = IoKind::flush;
        io.point = PersistencePoint::create;
        io.device = scm;
        QS_TRY(run(queue, io));
    }
    return append_superblock(superblock, members, queue);
}

}  // namespace qlcshape
