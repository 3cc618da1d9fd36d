// SPDX-License-Identifier: Apache-2.0
// Numbers below n by Zipf's law: the k-th most frequent is drawn in proportion to 1 / k^theta. By
// rejection-inversion (Hörmann and Derflinger 1996), so without a sum over all n. The frequent ones
// are scattered over the range, as hot blocks are over a volume.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "base/random.h"

namespace qlcshape::tools {

class Zipf {
  public:
    // n > 0, theta > 0.
    Zipf(std::uint64_t n, double theta) : n_(n), theta_(theta) {
        first_ = integral(1.5) - 1;
        last_ = integral(static_cast<double>(n) + 0.5);
        sure_ = 2 - inverse(integral(2.5) - density(2));
        stride_ =
            std::max<std::uint64_t>(static_cast<std::uint64_t>(0.618 * static_cast<double>(n)), 1);
        while (std::gcd(stride_, n_) != 1) ++stride_;
    }

    std::uint64_t next(Random& random) const {
        return static_cast<std::uint64_t>(static_cast<unsigned_128>(rank(random)) * stride_ % n_);
    }

    // From 0, the most frequent.
    std::uint64_t rank(Random& random) const {
        for (;;) {
            const double u = last_ + random.real() * (first_ - last_);
            const double x = inverse(u);
            const double k = std::clamp(std::floor(x + 0.5), 1.0, static_cast<double>(n_));
            if (k - x > sure_ && u < integral(k + 0.5) - density(k)) continue;
            return std::min(static_cast<std::uint64_t>(k) - 1, n_ - 1);
        }
    }

  private:
    __extension__ using unsigned_128 = unsigned __int128;

    double density(double x) const { return std::exp(-theta_ * std::log(x)); }
    // Of the density, 1 to x; both forms continuous at theta = 1.
    double integral(double x) const {
        const double log_x = std::log(x);
        const double t = (1 - theta_) * log_x;
        return log_x * (std::abs(t) > 1e-8 ? std::expm1(t) / t : 1 + t / 2);
    }
    double inverse(double y) const {
        const double t = std::max(y * (1 - theta_), -1.0);
        return std::exp(y * (std::abs(t) > 1e-8 ? std::log1p(t) / t : 1 - t / 2));
    }

    std::uint64_t n_;
    double theta_;
    double first_ = 0, last_ = 0, sure_ = 0;
    std::uint64_t stride_ = 1;
};

}  // namespace qlcshape::tools
