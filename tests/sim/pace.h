// Which transfer in flight completes next. By chance, where now and then one queue or one drive is
// slow for a while: then segments of one shard overtake those of another, and a drive lags behind.
// Or in a fixed order, for enumerations.
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"
#include "device/io.h"

namespace qlcshape::sim {

struct Media;

struct Pending {
    Io* io;
    IoQueue* queue;
    Media* media;
    std::uint64_t order;
};

enum class Order : std::uint8_t { chance, oldest_first, newest_first, writes_last };

class Pace {
  public:
    void set(Order order) { order_ = order; }
    // Queues come and go; whoever was slow is so no more.
    void forget() { left_ = 0; }

    std::size_t pick(std::span<const Pending> pending, Random& random) {
        if (order_ != Order::chance) return fixed(pending);
        if (left_ == 0) begin_period(pending[random.below(pending.size())], random);
        --left_;
        std::size_t chosen = random.below(pending.size());
        for (int i = 0; i < kDraws && slow(pending[chosen]); ++i)
            chosen = random.below(pending.size());
        return chosen;
    }

  private:
    static constexpr int kDraws = 12;

    void begin_period(const Pending& one, Random& random) {
        left_ = 1 + random.below(1500);
        slow_queue_ = nullptr;
        slow_media_ = nullptr;
        switch (random.below(4)) {
            case 0:
                slow_queue_ = one.queue;
                break;
            case 1:
                slow_media_ = one.media;
                break;
            default:
                break;
        }
    }
    bool slow(const Pending& p) const { return p.queue == slow_queue_ || p.media == slow_media_; }
    std::size_t fixed(std::span<const Pending> pending) const {
        std::size_t best = 0;
        for (std::size_t i = 1; i < pending.size(); ++i) {
            if (before(pending[i], pending[best])) best = i;
        }
        return best;
    }
    bool before(const Pending& a, const Pending& b) const {
        const bool a_writes = a.io->kind != IoKind::read, b_writes = b.io->kind != IoKind::read;
        if (order_ == Order::writes_last && a_writes != b_writes) return b_writes;
        return order_ == Order::newest_first ? a.order > b.order : a.order < b.order;
    }

    Order order_ = Order::chance;
    std::uint64_t left_ = 0;
    const IoQueue* slow_queue_ = nullptr;
    const Media* slow_media_ = nullptr;
};

}  // namespace qlcshape::sim
