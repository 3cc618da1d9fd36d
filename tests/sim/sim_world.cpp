#include "sim_world.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/crc32c.h"

namespace qlcshape::sim {

class SimDevice : public Device {
  public:
    SimDevice(World& world, Media& media)
        : Device(media.name, media.geometry), world_(world), media_(media) {}
    void start(Io& io, IoQueue& queue) override { world_.start(io, queue, media_); }

  private:
    World& world_;
    Media& media_;
};

Media& World::add(const std::string& name, std::uint64_t bytes, bool volatile_cache,
                  bool discard_clears) {
    auto media = std::make_unique<Media>();
    media->name = name;
    media->geometry.capacity_bytes = bytes;
    media->geometry.volatile_cache = volatile_cache;
    media->geometry.atomic_write_bytes = 512;
    media->bytes = Buffer(bytes);
    media->discard_clears = discard_clears;
    media_.push_back(std::move(media));
    return *media_.back();
}

std::unique_ptr<Device> World::device(Media& media) {
    return std::make_unique<SimDevice>(*this, media);
}

void World::start(Io& io, IoQueue& queue, Media& media) {
    QS_ASSERT(io.kind == IoKind::read || io.point != PersistencePoint::none);
    if (dead_ || media.gone) {
        queue.complete(io, ENODEV);
        return;
    }
    pending_.push_back({&io, &queue, &media, ++order_});
}

bool World::step() {
    if (pending_.empty()) return false;
    const std::size_t chosen = pace_.pick(pending_, random_);
    const Pending p = pending_[chosen];
    pending_[chosen] = pending_.back();
    pending_.pop_back();
    perform(p);
    const PersistencePoint point = p.io->point;
    ++coverage_.points[static_cast<std::size_t>(point)].done;
    ++events_;
    const std::uint64_t words[4] = {trace_, static_cast<std::uint64_t>(p.io->kind), p.io->offset,
                                    p.io->bytes};
    trace_ = trace_ * 31 + crc32c({reinterpret_cast<const std::byte*>(words), sizeof(words)});
    p.queue->complete(*p.io, 0);
    last_point_ = point;
    cut_if_planned(point);
    return true;
}

void World::cut_at(PersistencePoint point, std::uint64_t nth, std::uint64_t more) {
    cut_after_ = 0;
    cut_point_ = point;
    cut_point_left_ = nth;
    cut_more_ = more;
}

void World::cut_if_planned(PersistencePoint completed) {
    if (cut_after_ != 0 && --cut_after_ == 0) return cut();
    if (cut_point_ != completed || completed == PersistencePoint::none || --cut_point_left_ != 0)
        return;
    cut_point_ = PersistencePoint::none;
    if (cut_more_ == 0) return cut();
    cut_after_ = cut_more_;
}

void World::perform(const Pending& p) {
    const Io& io = *p.io;
    Media& media = *p.media;
    switch (io.kind) {
        case IoKind::read:
            std::memcpy(io.data, media.bytes.data() + io.offset, io.bytes);
            break;
        case IoKind::write:
            write(media, io.offset, io.data, io.bytes, ++order_);
            break;
        case IoKind::flush:
            // Covers the writes that had completed when it was submitted.
            std::erase_if(media.unflushed,
                          [&](const Media::Unflushed& u) { return u.order < p.order; });
            break;
        case IoKind::discard:
            if (media.discard_clears) {
                const std::vector<std::byte> zero(io.bytes);
                write(media, io.offset, zero.data(), io.bytes, ++order_);
            }
            break;
    }
}

void World::write(Media& media, std::uint64_t offset, const std::byte* data, std::uint64_t bytes,
                  std::uint64_t order) {
    std::byte* to = media.bytes.data() + offset;
    if (media.geometry.volatile_cache) {
        media.unflushed.push_back({order, offset, {to, to + bytes}, {data, data + bytes}});
    }
    std::memcpy(to, data, bytes);
}

void World::cut() {
    dead_ = true;
    cut_after(0);
    pace_.forget();
    ++coverage_.points[static_cast<std::size_t>(last_point_)].cuts_after;
    last_point_ = PersistencePoint::none;
    std::array<bool, kPoints> in_flight{};
    for (const Pending& p : pending_) in_flight[static_cast<std::size_t>(p.io->point)] = true;
    for (std::size_t i = 0; i < kPoints; ++i) coverage_.points[i].cuts_in_flight += in_flight[i];
    // Writes in flight may reach the media in part, like those in the cache.
    for (const Pending& p : pending_) {
        if (p.io->kind == IoKind::write) {
            std::byte* to = p.media->bytes.data() + p.io->offset;
            p.media->unflushed.push_back({++order_,
                                          p.io->offset,
                                          {to, to + p.io->bytes},
                                          {p.io->data, p.io->data + p.io->bytes}});
            std::memcpy(to, p.io->data, p.io->bytes);
        }
    }
    for (auto& media : media_) lose_unflushed(*media);
    std::vector<Pending> pending;
    pending.swap(pending_);
    for (const Pending& p : pending) p.queue->complete(*p.io, ENODEV);
}

// Back to what was flushed, then each unflushed write anew: kept, lost, or torn.
void World::lose_unflushed(Media& media) {
    for (auto it = media.unflushed.rbegin(); it != media.unflushed.rend(); ++it) {
        std::memcpy(media.bytes.data() + it->offset, it->before.data(), it->before.size());
    }
    for (const Media::Unflushed& u : media.unflushed) {
        const std::uint64_t fate = random_.below(3);
        if (fate == 0) continue;
        const std::uint64_t unit = media.geometry.atomic_write_bytes;
        // Torn: a prefix, or any of its units.
        const std::uint64_t prefix =
            random_.chance(1, 2) ? random_.below(u.after.size() / unit + 1) * unit : UINT64_MAX;
        for (std::uint64_t at = 0; at < u.after.size(); at += unit) {
            const bool keep =
                fate == 1 || (prefix != UINT64_MAX ? at < prefix : random_.chance(1, 2));
            if (keep) std::memcpy(media.bytes.data() + u.offset + at, u.after.data() + at, unit);
        }
    }
    media.unflushed.clear();
}

}  // namespace qlcshape::sim
