// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_world.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/crc32c.h"

namespace qlcshape::sim {

namespace {

constexpr int kCutOff = -1;  // the transfer has ended already, with its drive

}  // namespace

class SimDevice : public Device {
  public:
    SimDevice(World& world, Media& media)
        : Device(media.name, media.geometry), world_(world), media_(media) {}
    void start(Io& io, IoQueue& queue) override { world_.start(io, queue, media_); }
    bool hand_over(Io& io, Io& heir, IoQueue&) override { return world_.hand_over(io, heir); }
    std::shared_ptr<const DriveLock> lock() const override { return lock_; }

  private:
    const std::shared_ptr<const DriveLock> lock_ = std::make_shared<const DriveLock>();
    World& world_;
    Media& media_;
};

Media& World::add(const std::string& name, std::uint64_t bytes, bool volatile_cache,
                  bool discard_clears) {
    media_.push_back(std::make_unique<Media>(name, bytes, volatile_cache, discard_clears));
    media_.back()->index = static_cast<std::uint32_t>(media_.size() - 1);
    return *media_.back();
}

std::unique_ptr<Device> World::device(Media& media) {
    return std::make_unique<SimDevice>(*this, media);
}

void World::start(Io& io, IoQueue& queue, Media& media) {
    QS_ASSERT(io.kind == IoKind::read || io.point != PersistencePoint::none);
    if (dead_ || media.gone) return queue.complete(io, ENODEV);
    if (media.refuses_writes && io.kind != IoKind::read) return queue.complete(io, EIO);
    Pending p{&io, &queue, &media, ++order_, 0, 0};
    bool times_out = false;
    const std::uint64_t delay = faults_.delay(media, io, times_out);
    if (times_out) p.error = ETIMEDOUT;
    if (media.zoned() && io.kind == IoKind::write) {
        const int error = media.submit_to_zone(io.offset, io.bytes, broken_rule_);
        if (error != 0) return queue.complete(io, error);
    }
    p.ready = events_ + delay;
    if (&media == silent_) return kept_.push_back(p);
    (delay == 0 ? pending_ : delayed_).push_back(p);
}

bool World::hand_over(const Io& io, Io& heir) {
    for (auto* list : {&pending_, &delayed_, &kept_}) {
        const auto found = std::ranges::find(*list, &io, &Pending::io);
        if (found == list->end()) continue;
        found->io = &heir;
        return true;
    }
    QS_ASSERT(false);
    return false;
}

// Of one that was given up the queue may be gone.
void World::finish(const Pending& p, int error) {
    if (p.io->device != nullptr) p.queue->complete(*p.io, error);
}

void World::wake_delayed() {
    if (delayed_.empty()) return;
    std::uint64_t until = events_;
    if (pending_.empty()) {  // nothing else will happen before the first of them is ready
        until = UINT64_MAX;
        for (const Pending& p : delayed_) until = std::min(until, p.ready);
    }
    for (std::size_t i = 0; i < delayed_.size();) {
        if (delayed_[i].ready > until) {
            ++i;
            continue;
        }
        pending_.push_back(delayed_[i]);
        delayed_[i] = delayed_.back();
        delayed_.pop_back();
    }
}

World::Pending World::take_next() {
    std::size_t chosen = random_.below(pending_.size());
    const Pending& drawn = pending_[chosen];
    // A zone's writes end in order.
    if (drawn.media->zoned() && drawn.io->kind == IoKind::write) {
        const Media::Zone* zone = &drawn.media->zone(drawn.io->offset);
        for (std::size_t i = 0; i < pending_.size(); ++i) {
            const Pending& p = pending_[i];
            if (p.media == drawn.media && p.io->kind == IoKind::write &&
                &p.media->zone(p.io->offset) == zone && p.order < pending_[chosen].order)
                chosen = i;
        }
    }
    const Pending p = pending_[chosen];
    pending_[chosen] = pending_.back();
    pending_.pop_back();
    return p;
}

bool World::step() {
    wake_delayed();
    if (pending_.empty()) return false;
    if (aim_in_flight() && hits(aim_)) {
        cut();
        return true;
    }
    const Pending p = take_next();
    const int error = perform(p);
    last_point_ = p.io->point;
    ++coverage_[last_point_].done;
    ++events_;
    trace_event(p, error);
    if (error != kCutOff) finish(p, error);
    cut_if_planned(last_point_);
    return true;
}

void World::cut_at(PersistencePoint point, std::uint64_t nth, std::uint64_t more) {
    cut_after_ = 0;
    cut_point_ = point;
    cut_point_left_ = nth;
    cut_more_ = more;
}

bool World::hits(PersistencePoint point) {
    const bool planned = cut_after_ != 0 || cut_point_ != PersistencePoint::none;
    return planned && aim_ != PersistencePoint::none && point == aim_ && aim_random_.chance(1, 2);
}

bool World::aim_in_flight() const {
    return std::ranges::find(pending_, aim_, [](const Pending& p) { return p.io->point; }) !=
           pending_.end();
}

void World::cut_if_planned(PersistencePoint completed) {
    if (hits(completed)) return cut();
    if (cut_after_ != 0 && --cut_after_ == 0) return cut();
    if (cut_point_ == PersistencePoint::none || cut_point_ != completed || --cut_point_left_ != 0)
        return;
    cut_point_ = PersistencePoint::none;
    if (cut_more_ == 0) return cut();
    cut_after_ = cut_more_;
}

void World::trace_event(const Pending& p, int error) {
    const std::uint64_t words[6] = {trace_,         static_cast<std::uint64_t>(p.io->kind),
                                    p.io->offset,   p.io->bytes,
                                    p.media->index, static_cast<std::uint64_t>(error)};
    trace_ = trace_ * 31 + crc32c({reinterpret_cast<const std::byte*>(words), sizeof(words)});
}

int World::perform(const Pending& p) {
    const Io& io = *p.io;
    Media& media = *p.media;
    const Fault fault = p.error != 0 ? Fault::none : faults_.choose(media, io);
    if (fault == Fault::gone) {
        faults_.counts().told(fault);
        pending_.push_back(p);
        take_away(media);
        return kCutOff;
    }
    switch (io.kind) {
        case IoKind::read:
            return read(p, fault);
        case IoKind::write:
            return write(p, fault);
        case IoKind::flush:
            if (fault == Fault::flush_error) {
                faults_.counts().told(fault);
                media.lose_cache(random_);
                return EIO;
            }
            if (p.error == 0) media.flushed(p.order);
            return p.error;
        case IoKind::discard:
            return discard(p);
    }
    return EIO;
}

int World::read(const Pending& p, Fault fault) {
    const Io& io = *p.io;
    Media& media = *p.media;
    if (p.error != 0) return p.error;
    if (fault == Fault::read_error) {
        faults_.counts().told(fault);
        return EIO;
    }
    if (fault == Fault::misdirected_read) {
        faults_.counts().told(fault);
        const Region region = faults_.region_of(media, io.offset);
        const std::uint64_t begin = faults_.region_begin(media, region);
        const std::uint64_t end = faults_.region_end(media, region);
        if (end - begin <= io.bytes) return EIO;
        const std::uint64_t places = (end - begin - io.bytes) / kBlockBytes + 1;
        return media.read(begin + random_.below(places) * kBlockBytes, io.data, io.bytes,
                          faults_.counts());
    }
    if (fault != Fault::none) spoil(media, fault, io);
    return media.read(io.offset, io.data, io.bytes, faults_.counts());
}

int World::write(const Pending& p, Fault fault) {
    const Io& io = *p.io;
    Media& media = *p.media;
    FaultCounts& counts = faults_.counts();
    Media::Zone* zone = media.zoned() ? &media.zone(io.offset) : nullptr;
    if (zone != nullptr) --zone->in_flight;
    if (fault == Fault::zone_read_only || fault == Fault::zone_offline) {
        counts.told(fault);
        (fault == Fault::zone_offline ? zone->offline : zone->read_only) = true;
        return EIO;
    }
    if (zone != nullptr && (zone->failing || zone->read_only || zone->offline)) return EIO;
    std::vector<std::byte> memory;
    const std::byte* const data = data_of(io, memory);
    if (p.error != 0 || fault == Fault::write_error) {
        if (p.error == 0) counts.told(fault);
        if (zone != nullptr) {
            media.fail_zone(io.offset);
        } else if (random_.chance(1, 2)) {  // how much of it was written nobody knows
            const std::uint64_t blocks = io.bytes / kBlockBytes;
            const std::uint64_t n = random_.below(blocks + 1) * kBlockBytes;
            if (n != 0) media.write(io.offset, data, n, ++order_, counts);
        }
        return p.error != 0 ? p.error : EIO;
    }
    if (fault == Fault::lost_write || fault == Fault::misdirected_write) {
        media.note_damage(io.offset, io.bytes, fault, counts);
        if (fault == Fault::misdirected_write) misdirect(p, data);
        return 0;
    }
    media.write(io.offset, data, io.bytes, ++order_, counts);
    if (fault == Fault::flush_error) {
        counts.told(fault);
        media.lose_cache(random_);
        return EIO;
    }
    if (io.durable) media.settle(io.offset, io.bytes);
    if (fault != Fault::none) spoil(media, fault, io);
    return 0;
}

// To another place of the same kind, aligned as the write was.
void World::misdirect(const Pending& p, const std::byte* data) {
    const Io& io = *p.io;
    Media& media = *p.media;
    const Region region = faults_.region_of(media, io.offset);
    const std::uint64_t begin = faults_.region_begin(media, region);
    const std::uint64_t unit = media.qlc ? io.bytes : std::uint64_t{kBlockBytes};
    const std::uint64_t places = (faults_.region_end(media, region) - begin - io.bytes) / unit + 1;
    const std::uint64_t to = begin + random_.below(places) * unit;
    media.write(to, data, io.bytes, ++order_, faults_.counts());
    media.note_damage(to, io.bytes, Fault::misdirected_write, faults_.counts());
}

void World::spoil(Media& media, Fault fault, const Io& io) {
    const std::uint64_t block = random_.below(io.bytes / kBlockBytes);
    const std::uint64_t most = io.bytes / kBlockBytes - block;
    const std::uint64_t at = io.offset + block * kBlockBytes;
    if (fault == Fault::unreadable) {
        media.note_damage(at, (1 + random_.below(most)) * kBlockBytes, fault, faults_.counts());
    } else {
        media.rot(at, random_);
        media.note_damage(at, kBlockBytes, fault, faults_.counts());
    }
}

int World::discard(const Pending& p) {
    if (p.error != 0) return p.error;
    Media& media = *p.media;
    if (media.zoned()) {
        const int error = media.reset_zones(p.io->offset, p.io->bytes);
        if (error != 0) return error;
    }
    media.discard(p.io->offset, p.io->bytes, ++order_, faults_.counts());
    return 0;
}

// Of all drives, or of one; in the order in which they were submitted.
std::vector<World::Pending> World::take_in_flight(const Media* media) {
    std::vector<Pending> taken;
    for (auto* list : {&pending_, &delayed_, &kept_}) {
        std::erase_if(*list, [&](const Pending& p) {
            if (media != nullptr && p.media != media) return false;
            taken.push_back(p);
            return true;
        });
    }
    std::ranges::sort(taken, {}, &Pending::order);
    return taken;
}

// What a write puts on the drive, gathered into `memory` where it lies in several parts.
const std::byte* World::data_of(const Io& io, std::vector<std::byte>& memory) {
    if (io.parts.empty()) return io.data;
    io.for_each_part([&](const std::byte* data, std::uint64_t bytes) {
        memory.insert(memory.end(), data, data + bytes);
    });
    return memory.data();
}

// Writes in flight may reach the media in part, like those in the cache. Of all drives, or of one.
void World::cut_off(Media* media) {
    const std::vector<Pending> ended = take_in_flight(media);
    for (const Pending& p : ended) {
        if (p.io->kind != IoKind::write) continue;
        if (p.media->zoned() && p.media->zone(p.io->offset).failing) continue;
        std::vector<std::byte> memory;
        p.media->write_unfinished(p.io->offset, data_of(*p.io, memory), p.io->bytes, ++order_);
    }
    for (auto& m : media_) {
        if (media != nullptr && m.get() != media) continue;
        m->lose_cache(random_);
        m->zones_at_rest();
    }
    for (const Pending& p : ended) finish(p, ENODEV);
}

void World::cut() {
    if (dead_) return;
    dead_ = true;
    cut_after(0);
    ++coverage_[last_point_].cuts_after;
    last_point_ = PersistencePoint::none;
    std::array<bool, kPoints> in_flight{};
    for (const auto* list : {&pending_, &delayed_}) {
        for (const Pending& p : *list) in_flight[static_cast<std::size_t>(p.io->point)] = true;
    }
    for (std::size_t i = 0; i < kPoints; ++i) coverage_.points[i].cuts_in_flight += in_flight[i];
    cut_off(nullptr);
}

// Drives have what they took, in their caches or on media, and finish what they were given.
void World::kill() {
    if (dead_) return;
    dead_ = true;
    cut_after(0);
    last_point_ = PersistencePoint::none;
    for (const Pending& p : take_in_flight(nullptr)) {
        const bool taken = p.media->zoned() || random_.chance(1, 2);
        if (p.error == 0 && taken && p.io->kind == IoKind::write) write(p, Fault::none);
        if (p.error == 0 && taken && p.io->kind == IoKind::discard) discard(p);
        finish(p, ENODEV);
    }
    for (auto& m : media_) m->zones_at_rest();
}

void World::silence(Media& media) {
    std::vector<Pending> kept = take_in_flight(&media);
    kept_.insert(kept_.end(), kept.begin(), kept.end());
    silent_ = &media;
    media.silent = true;
}

// What was given up, too: that goes to memory that nobody else may use by now.
void World::answer() {
    silent_ = nullptr;
    pending_.insert(pending_.end(), kept_.begin(), kept_.end());
    kept_.clear();
}

void World::power_on() {
    dead_ = false;
    silent_ = nullptr;
    for (auto& media : media_) media->gone = media->refuses_writes = media->silent = false;
}

}  // namespace qlcshape::sim
