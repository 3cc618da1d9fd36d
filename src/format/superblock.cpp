// SPDX-License-Identifier: Apache-2.0
#include "format/superblock.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"
#include "format/bits.h"
#include "format/entry.h"
#include "format/format_version.h"

namespace qlcshape {

namespace {

constexpr std::uint64_t kMagic = 0x4550414853434c51;  // the bytes "QLCSHAPE"
constexpr std::uint64_t kMembersAt = 4096;
constexpr std::uint64_t kVolumesAt = 20480;
constexpr std::uint64_t kTableAt = 36864;  // extents of the table, which has none yet
constexpr std::uint64_t kExtentsAt = 45056;
static_assert(kMembersAt + kMaxMembers * sizeof(MemberRecord) <= kVolumesAt);
static_assert(kVolumesAt + kMaxVolumes * sizeof(VolumeRecord) <= kTableAt);
static_assert(kTableAt < kExtentsAt);
constexpr std::uint64_t kTrailerBytes = 8;
static_assert(kExtentsAt + kMaxExtents * sizeof(VolumeExtent) <=
              kSuperblockRecordMin - kTrailerBytes);

struct Fixed {
    std::uint64_t magic;
    std::uint32_t crc;  // of this first block with this field zero
    std::uint16_t format;
    std::uint16_t draft;
    std::uint32_t body_crc;  // of the record after its first block
    std::uint32_t record_bytes;
    std::uint64_t compatible;            // features an older program may ignore
    std::uint64_t read_only_compatible;  // ... may ignore while it only reads
    std::uint64_t incompatible;          // ... must know to open at all
    Uuid array;
    Uuid device;
    std::uint64_t generation;
    std::uint64_t complete_generation;
    MembershipNumber membership;
    MembershipNumber in_force;  // the newest that every member has that it names in sync
    std::uint64_t claim;        // of an opening that has not begun; 0: none
    std::uint64_t epoch;
    std::uint64_t epoch_key;
    std::uint64_t next_version;
    std::uint64_t next_band_sequence;
    std::uint64_t strip_bytes;
    std::uint64_t band_bytes;
    std::uint64_t qlc_bytes;
    std::uint64_t scm_bytes;
    std::uint64_t superblock_unit_bytes;  // on this device
    std::uint32_t data_strips;
    std::uint32_t qlc_count;
    std::uint32_t scm_count;
    std::uint32_t overprovision_ppm;
    std::uint32_t max_shards;
    std::uint32_t max_gc_threads;
    std::uint32_t shards;
    std::uint32_t header_blocks;
    std::uint32_t max_members;
    std::uint32_t max_streams;
    std::uint32_t max_bands;
    std::uint32_t spare_drives;
    ScmRegions regions;
    std::uint8_t state;
    std::uint8_t lba_bits;
    std::uint8_t version_bits;
    std::uint8_t pba_bits;
    std::uint8_t crc_bits;
    std::uint8_t entry_bytes;
    std::uint8_t entry_format;
    std::uint8_t pmt_copies;
    std::uint32_t member_count;
    std::uint32_t volume_count;
    std::uint32_t extent_count;
    std::uint8_t slot_bits;
    std::uint8_t reserved_2[3];
    char name[kNameBytes];
    std::uint64_t counters[kCounters];
};
static_assert(sizeof(Fixed) == 680);
static_assert(offsetof(Fixed, array) == 48);
static_assert(offsetof(Fixed, generation) == 80);
static_assert(offsetof(Fixed, epoch) == 136);
static_assert(offsetof(Fixed, strip_bytes) == 168);
static_assert(offsetof(Fixed, data_strips) == 208);
static_assert(offsetof(Fixed, regions) == 256);
static_assert(offsetof(Fixed, state) == 336);
static_assert(offsetof(Fixed, member_count) == 344);
static_assert(offsetof(Fixed, name) == 360);

// Fields that later steps of version 3 will use have one value until then.
constexpr std::uint32_t kMaxStreams = 2;  // users' and GC's

std::uint32_t first_block_crc(std::span<const std::byte> block) {
    return crc32c_without(block.first(kBlockBytes), offsetof(Fixed, crc));
}

std::uint64_t unit_bytes_of(const ArrayLayout& l, DeviceRole role) {
    return role == DeviceRole::qlc ? l.qlc_superblock_unit_bytes : l.scm_superblock_unit_bytes;
}

template <class T>
void store_list(std::span<std::byte> record, std::uint64_t at, const std::vector<T>& list) {
    if (!list.empty()) std::memcpy(record.data() + at, list.data(), list.size() * sizeof(T));
}

template <class T>
std::vector<T> load_list(std::span<const std::byte> record, std::uint64_t at, std::size_t count) {
    std::vector<T> list(count);
    if (count != 0) std::memcpy(list.data(), record.data() + at, count * sizeof(T));
    return list;
}

Fixed load_fixed(std::span<const std::byte> record) {
    Fixed f;
    std::memcpy(&f, record.data(), sizeof(f));
    return f;
}

// What is fixed at create.
void store_layout(Fixed& f, const ArrayLayout& l) {
    f.strip_bytes = l.p.strip_bytes;
    f.band_bytes = l.p.band_bytes;
    f.qlc_bytes = l.p.qlc_bytes;
    f.scm_bytes = l.p.scm_bytes;
    f.data_strips = l.p.data_strips;
    f.qlc_count = l.p.qlc_count;
    f.scm_count = l.p.scm_count;
    f.overprovision_ppm = l.p.overprovision_ppm;
    f.max_shards = l.p.max_shards;
    f.max_gc_threads = l.p.max_gc_threads;
    f.header_blocks = l.header_blocks;
    f.max_members = kMaxMembers;
    f.max_streams = kMaxStreams;
    f.max_bands = l.p.max_bands;
    f.spare_drives = l.p.spare_drives;
    f.regions = l.p.regions;
    f.lba_bits = kLbaBits;
    f.version_bits = kVersionBits;
    f.slot_bits = static_cast<std::uint8_t>(l.slot_bits);
    f.pba_bits = static_cast<std::uint8_t>(l.pba_bits);
    f.crc_bits = static_cast<std::uint8_t>(l.crc_bits);
    f.entry_bytes = kEntryBytes;
    f.entry_format = kEntryFormat;
    f.pmt_copies = static_cast<std::uint8_t>(l.p.pmt_copies);
}

// Magic, checksum and version lie alike in all versions, so that each program knows what it must
// not read.
Status check_first_block(const Fixed& f, std::span<const std::byte> block) {
    if (f.magic != kMagic) return fail(Errc::foreign_device, "there is no superblock");
    if (f.crc != first_block_crc(block))
        return fail(Errc::damaged, "its superblock's checksum is wrong");
    return check_format(f.format, f.draft);
}

// Only what this program writes itself is accepted: with other values, structures may lie
// elsewhere, or more must be done to keep the array whole.
Status check_features(const Fixed& f) {
    const bool known = f.incompatible == 0 && f.read_only_compatible == 0 &&
                       f.lba_bits == kLbaBits && f.version_bits == kVersionBits &&
                       f.entry_bytes == kEntryBytes && f.entry_format == kEntryFormat &&
                       f.max_members == kMaxMembers && f.max_streams == kMaxStreams &&
                       f.pmt_copies >= 1 && f.pmt_copies <= kMaxPmtCopies && f.claim == 0 &&
                       f.membership == MembershipNumber{} && f.in_force == MembershipNumber{};
    if (known) return {};
    return fail(Errc::unsupported,
                "its array uses features that this program doesn't have: serve it with the newer "
                "release that wrote it");
}

Status check_features(const MemberRecord& m, const ArrayParameters& p) {
    const MemberRecord plain = make_member(p, m.role, m.index);
    const bool may_be = m.state == MemberState::in
                            ? m.in_sync == plain.in_sync && m.left_at == plain.left_at &&
                                  m.left_key == plain.left_key && m.kept_out == 0
                            : m.state == MemberState::out && m.kept_out <= MemberRecord::kRemoved;
    const bool drained = m.drains != 0 || m.kept_out == MemberRecord::kRemoved;
    const bool may_drain = m.drains <= 1 && (!drained || m.role == DeviceRole::qlc);
    if (may_be && may_drain && m.slot_stride == plain.slot_stride &&
        m.slot_usable_bytes == plain.slot_usable_bytes && m.returns == plain.returns &&
        m.id == plain.id && m.host == plain.host && m.enclosure == plain.enclosure)
        return {};
    return fail(Errc::unsupported,
                "a member of its array uses features that this program doesn't have: serve it with "
                "the newer release that wrote it");
}

// The record passed its checksums; a value that this program would not have written is refused
// nevertheless.
Status check_members(const Superblock& s) {
    std::set<Uuid> uuids;
    std::set<std::pair<DeviceRole, std::uint16_t>> places;
    for (const auto& m : s.members) {
        const bool known = (m.role == DeviceRole::qlc && m.index < s.parameters.qlc_count) ||
                           (m.role == DeviceRole::scm && m.index < s.parameters.scm_count);
        if (!known || !uuids.insert(m.uuid).second || !places.emplace(m.role, m.index).second) {
            return fail(Errc::damaged, "its list of members is inconsistent");
        }
    }
    if (places.size() != s.parameters.qlc_count + s.parameters.scm_count) {
        return fail(Errc::damaged, "its list of members is inconsistent");
    }
    for (const auto& m : s.members) QS_TRY(check_features(m, s.parameters));
    return {};
}

// As many are in as are needed for everything to be there.
Status check_out(const Superblock& s, const ArrayLayout& layout) {
    std::size_t qlc_out = 0;
    ScmSet scm_in;
    for (const auto& m : s.members) {
        const bool out = m.state == MemberState::out;
        if (m.role == DeviceRole::qlc)
            qlc_out += out ? 1 : 0;
        else
            scm_in[m.index] = !out;
    }
    const bool enough = s.parameters.qlc_count - qlc_out >= s.parameters.data_strips;
    if (enough && layout.pmt_whole_on(scm_in)) return {};
    return fail(Errc::damaged, "more of its members are out than redundancy covers");
}

Status check_extents(const Superblock& s, const ArrayLayout& layout) {
    std::vector<VolumeExtent> sorted = s.extents;
    std::sort(sorted.begin(), sorted.end(), [](const VolumeExtent& a, const VolumeExtent& b) {
        return a.first_page < b.first_page;
    });
    std::uint64_t end = 0;
    for (const auto& e : sorted) {
        if (e.pages == 0 || e.first_page < end || e.first_page > layout.pmt_pages ||
            e.pages > layout.pmt_pages - e.first_page) {
            return fail(Errc::damaged,
                        "a volume's extent overlaps another, or lies outside the table");
        }
        end = e.first_page + e.pages;
    }
    return {};
}

Status check_volumes(const Superblock& s) {
    std::set<std::string> names;
    std::vector<bool> taken(s.extents.size());
    for (const auto& v : s.volumes) {
        const bool whole = v.first_extent <= s.extents.size() &&
                           v.extents <= s.extents.size() - v.first_extent &&
                           v.name[kNameBytes - 1] == 0 && v.bytes % kBlockBytes == 0;
        if (!whole || (v.state != kVolumeDeleted && !names.insert(v.name).second)) {
            return fail(Errc::damaged, "its volume table is inconsistent");
        }
        std::uint64_t pages = 0;
        for (std::uint32_t i = v.first_extent; i < v.first_extent + v.extents; ++i) {
            if (taken[i]) return fail(Errc::damaged, "two of its volumes have the same blocks");
            taken[i] = true;
            pages += s.extents[i].pages;
        }
        if (v.bytes > pages * kPageSpanBytes || div_up(v.bytes, kPageSpanBytes) != pages) {
            return fail(Errc::damaged, "its volume table is inconsistent");
        }
    }
    return {};
}

}  // namespace

const char* to_string(DeviceRole role) {
    switch (role) {
        case DeviceRole::qlc:
            return "qlc";
        case DeviceRole::scm:
            return "scm";
        case DeviceRole::spare:
            return "spare";
    }
    return "unknown";
}

const MemberRecord* find_member(const Superblock& s, const Uuid& device) {
    const auto at = std::ranges::find(s.members, device, &MemberRecord::uuid);
    return at == s.members.end() ? nullptr : &*at;
}

MemberRecord make_member(const ArrayParameters& p, DeviceRole role, std::uint16_t index) {
    MemberRecord m;
    m.role = role;
    m.index = index;
    const bool qlc = role == DeviceRole::qlc;
    m.id = static_cast<std::uint8_t>(qlc ? index : p.qlc_count + index);
    m.slot_stride = m.slot_usable_bytes = qlc ? p.band_bytes : 0;
    return m;
}

void encode_superblock(const Superblock& s, const Uuid& device, std::span<std::byte> record) {
    auto made = make_layout(s.parameters);
    QS_ASSERT(made.has_value());
    const ArrayLayout& l = *made;
    QS_ASSERT(record.size() == l.superblock_record_bytes);
    QS_ASSERT(s.members.size() <= kMaxMembers && s.volumes.size() <= kMaxVolumes &&
              s.extents.size() <= kMaxExtents);
    const MemberRecord* member = find_member(s, device);
    QS_ASSERT(member != nullptr);

    std::memset(record.data(), 0, record.size());
    store_list(record, kMembersAt, s.members);
    store_list(record, kVolumesAt, s.volumes);
    store_list(record, kExtentsAt, s.extents);
    // The record ends with something other than zeroes: one whose last write is missing is not
    // whole.
    store<std::uint64_t>(record.data() + record.size() - kTrailerBytes, s.generation);

    Fixed f{};
    f.magic = kMagic;
    f.format = kFormatVersion;
    f.draft = kFormatDraft;
    f.body_crc = crc32c(record.subspan(kBlockBytes));
    f.record_bytes = static_cast<std::uint32_t>(record.size());
    f.array = s.array;
    f.device = device;
    f.generation = s.generation;
    f.complete_generation = s.complete_generation;
    f.epoch = s.epoch;
    f.epoch_key = s.epoch_key;
    f.next_version = s.next_version;
    f.next_band_sequence = s.next_band_sequence;
    f.superblock_unit_bytes = unit_bytes_of(l, member->role);
    store_layout(f, l);
    f.shards = s.shards;
    f.state = static_cast<std::uint8_t>(s.state);
    f.member_count = static_cast<std::uint32_t>(s.members.size());
    f.volume_count = static_cast<std::uint32_t>(s.volumes.size());
    f.extent_count = static_cast<std::uint32_t>(s.extents.size());
    std::memcpy(f.name, s.name.data(), std::min<std::size_t>(s.name.size(), kNameBytes - 1));
    std::copy(s.counters.begin(), s.counters.end(), f.counters);
    std::memcpy(record.data(), &f, sizeof(f));
    store<std::uint32_t>(record.data() + offsetof(Fixed, crc),
                         first_block_crc(record.first(kBlockBytes)));
}

bool looks_like_superblock(std::span<const std::byte> first_block) {
    return load<std::uint64_t>(first_block.data()) == kMagic;
}

Result<SuperblockPeek> peek_superblock(std::span<const std::byte> first_block) {
    const Fixed f = load_fixed(first_block);
    QS_TRY(check_first_block(f, first_block));
    return SuperblockPeek{
        f.array, f.device,   f.generation, f.record_bytes, f.superblock_unit_bytes,
        f.epoch, f.epoch_key};
}

Result<Superblock> decode_superblock(std::span<const std::byte> record, Uuid* device) {
    const Fixed f = load_fixed(record);
    QS_TRY(check_first_block(f, record.first(kBlockBytes)));
    QS_TRY(check_features(f));
    if (f.record_bytes != record.size() || f.body_crc != crc32c(record.subspan(kBlockBytes))) {
        return fail(Errc::damaged, "its superblock's checksum is wrong after the first block");
    }
    Superblock s;
    s.array = f.array;
    s.name.assign(f.name, strnlen(f.name, kNameBytes));
    s.parameters = {f.data_strips, f.qlc_count,      f.scm_count, f.strip_bytes,
                    f.band_bytes,  f.qlc_bytes,      f.scm_bytes, f.overprovision_ppm,
                    f.max_shards,  f.max_gc_threads, f.max_bands, f.regions,
                    f.pmt_copies,  f.spare_drives};
    auto layout = make_layout(s.parameters);
    if (!layout)
        return fail(Errc::damaged, "its parameters are inconsistent: {}", layout.error().message);
    if (layout->superblock_record_bytes != f.record_bytes ||
        layout->header_blocks != f.header_blocks || layout->p.max_bands != f.max_bands ||
        layout->p.regions != f.regions || layout->slot_bits != f.slot_bits ||
        layout->pba_bits != f.pba_bits || layout->crc_bits != f.crc_bits || f.shards < 1 ||
        f.shards > f.max_shards || f.member_count > kMaxMembers || f.volume_count > kMaxVolumes ||
        f.extent_count > kMaxExtents || (f.state != 1 && f.state != 2) ||
        f.next_version >> kVersionBits != 0) {
        return fail(Errc::damaged, "its parameters are inconsistent");
    }
    s.generation = f.generation;
    s.complete_generation = f.complete_generation;
    s.epoch = f.epoch;
    s.epoch_key = f.epoch_key;
    s.shards = f.shards;
    s.state = static_cast<ArrayState>(f.state);
    s.next_version = f.next_version;
    s.next_band_sequence = f.next_band_sequence;
    std::copy(std::begin(f.counters), std::end(f.counters), s.counters.begin());
    s.members = load_list<MemberRecord>(record, kMembersAt, f.member_count);
    s.volumes = load_list<VolumeRecord>(record, kVolumesAt, f.volume_count);
    s.extents = load_list<VolumeExtent>(record, kExtentsAt, f.extent_count);
    QS_TRY(check_members(s));
    QS_TRY(check_out(s, *layout));
    const MemberRecord* member = find_member(s, f.device);
    if (member == nullptr || f.superblock_unit_bytes != unit_bytes_of(*layout, member->role)) {
        return fail(Errc::damaged, "its own device UUID is not in its member list");
    }
    QS_TRY(check_extents(s, *layout));
    QS_TRY(check_volumes(s));
    *device = f.device;
    return s;
}

}  // namespace qlcshape
