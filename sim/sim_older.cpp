// SPDX-License-Identifier: Apache-2.0
// Members that go back in time: drives as they were at a moment of the opening that has just ended,
// one or several at once. Each is refused by name, and nothing is changed then, or everything reads
// as it must and the array has all its redundancy. And a drive of a copy of the array that was
// opened by itself, which is always refused.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "format/segment_header.h"
#include "sim/sim_history.h"
#include "sim/tps_truth.h"

namespace qlcshape::sim {

// Images of any one SCM drive or both, and of up to two QLC drives. Where drives may be damaged, of
// those alone: redundancy covers no others.
void History::choose_older() {
    if (copied_) return;
    const std::size_t qlc = qlc_drives();
    const bool faults = world_.faults().media_faults() || world_.faults().drive_faults();
    std::set<std::size_t> chosen;
    if (faults) {
        for (std::size_t i = 0; i < media_.size(); ++i) {
            if (media_[i]->weak && images_random_.chance(1, 2)) chosen.insert(i);
        }
    } else {
        const std::uint64_t scm = images_random_.below(4);  // none, one or the other, both
        for (std::size_t i = 0; i < 2; ++i) {
            if ((scm >> i & 1) != 0) chosen.insert(qlc + i);
        }
        for (std::uint64_t n = images_random_.below(3); n != 0; --n)
            chosen.insert(images_random_.below(qlc));
    }
    for (const std::size_t i : chosen) {
        Media& m = *media_[i];
        if (m.zoned()) continue;
        images_.push_back(
            {&m, std::vector<std::byte>(m.bytes.get(), m.bytes.get() + m.capacity())});
    }
    images_array_ = core_->array();
    images_array_.columns = std::make_shared<Columns>(*images_array_.columns);
}

// Of a QLC drive that went out later, and lacks fewer than four of its newest segments, nobody can
// tell (docs/limits.md).
void History::forget_images_of_out() {
    std::erase_if(images_, [this](const Older& o) {
        const std::size_t drive = number_of(o.media);
        const Device* const d = o.media->qlc ? core_->array().qlc[drive] : nullptr;
        return d != nullptr && (d->out() || d->leaves());
    });
}

// A write that was acknowledged after both SCM drives' images were made, and by the TPS alone, is
// lost without a trace until a segment tells of it: the header of one that is on a QLC drive names
// a record that no mirror has. To be asked while the older drives are in place.
bool History::traced() {
    const ArrayContext& array = images_array_;
    const ArrayLayout& l = array.layout;
    const TpsTruth tps = look_at_tps(
        array, {media_.begin() + static_cast<std::ptrdiff_t>(l.p.qlc_count), media_.end()});
    Buffer bytes(std::uint64_t{l.header_blocks} * kBlockBytes);
    for (std::uint32_t i = 0; i < l.bands * l.segments_per_band; ++i) {
        const BandId band(i / l.segments_per_band);
        const std::uint32_t segment = i % l.segments_per_band;
        const Location place = array.locate(band, segment, 0);
        media_[place.drive]->read(place.offset, bytes.data(), bytes.size(),
                                  world_.faults().counts());
        const SegmentHeader header(l, bytes.data());
        const SegmentHeaderFixed& f = header.fixed();
        if (!header.valid(array.array, band, segment) || f.epoch != array.epoch ||
            f.shard >= array.shards)
            continue;
        const auto& records = tps.rings[f.shard].records;
        if (f.tps_acked > (records.empty() ? 0 : records.rbegin()->first)) return true;
    }
    return false;
}

bool History::all_scm_older() const {
    return std::ranges::count_if(images_, [](const Older& o) { return !o.media->qlc; }) == 2;
}

// A copy of all drives is opened, and then the array itself. One drive of the copy is kept.
void History::copy_episode() {
    const Injector& faults = world_.faults();
    const bool zoned = std::ranges::any_of(media_, [](const Media* m) { return m->zoned(); });
    if (!members_get_older() || faults.media_faults() || faults.drive_faults() || zoned) return;
    if (!images_random_.chance(1, 8)) return;
    std::vector<std::vector<std::byte>> own;
    for (Media* m : media_) {
        m->flushed(UINT64_MAX);
        own.emplace_back(m->bytes.get(), m->bytes.get() + m->capacity());
    }
    world_.power_on();
    world_.cut_after(0);
    const bool crashed = crashed_, may_be_clean = may_be_clean_;
    const LifetimeCounters durable = durable_, counted = counted_;  // what the copy adds is its own
    if (!open(true)) return void(violate("a copy of the array does not open"));
    for (std::uint64_t steps = images_random_.below(200); steps != 0; --steps) poll_something();
    drop();
    crashed_ = crashed;
    may_be_clean_ = may_be_clean;
    durable_ = durable;
    counted_ = counted;
    Media& kept = *media_[images_random_.below(media_.size())];
    std::erase_if(images_, [&](const Older& o) { return o.media == &kept; });
    images_.push_back({&kept, {kept.bytes.get(), kept.bytes.get() + kept.capacity()}});
    for (std::size_t i = 0; i < media_.size(); ++i) {
        std::ranges::copy(own[i], media_[i]->bytes.get());
        media_[i]->cache.clear();
    }
    copied_ = true;
}

// Back, or forth again.
void History::exchange_older() {
    for (Older& o : images_) {
        std::vector<std::byte> now(o.media->bytes.get(),
                                   o.media->bytes.get() + o.media->capacity());
        std::memcpy(o.media->bytes.get(), o.image.data(), o.image.size());
        o.image = std::move(now);
        std::swap(o.cache, o.media->cache);
    }
}

void History::older_episode() {
    const bool copied = std::exchange(copied_, false);
    if (images_.empty() || pmt_damaged()) return images_.clear();
    // Bands that were written while other drives were out have no redundancy for two of these.
    std::set<std::size_t> lost;
    for (std::size_t i = 0; i < media_.size(); ++i) {
        if (std::ranges::find(images_, media_[i], &Older::media) != images_.end()) lost.insert(i);
    }
    if (!copied && !readable_without(lost)) return images_.clear();
    exchange_older();
    if (!copied && crashed_ && all_scm_older() && !traced()) {
        exchange_older();
        return images_.clear();
    }
    world_.power_on();
    world_.cut_after(0);
    world_.faults().begin_opening(true);
    world_.faults().counts().told(Fault::older_member);
    const std::uint64_t writes = world_.coverage().writes();
    auto core = try_open();
    if (!core) {
        const std::string& message = core.error().message;
        const bool named = std::ranges::any_of(images_, [&](const Older& o) {
            return message.find(o.media->name) != std::string::npos;
        });
        // Of a copy that was opened more often the array's own drives look older.
        if (core.error().code != Errc::stale_device || (!named && !copied))
            violate("an older member is not refused by name: " + message);
        if (world_.coverage().writes() != writes)
            violate("the opening that was refused wrote something");
        exchange_older();
        ++result_.older_refused;
        return images_.clear();
    }
    const std::string name = images_[0].media->name;
    images_.clear();
    core_ = std::move(*core);
    if (copied) {
        violate(fmt::format("{} of a copy that was opened by itself is taken", name));
        return drop();
    }
    before_ = core_->stats();
    may_be_clean_ = false;
    if (!find_volumes() || compare_all(true) != Look::good) return drop();
    ++result_.older_taken;
    ++opened_;
    world_.faults().rest();
    close_clean();
}

}  // namespace qlcshape::sim
