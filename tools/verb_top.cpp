// SPDX-License-Identifier: Apache-2.0
// top: a live view of an array that another process has open, from that process. On a
// terminal it is redrawn each second until q; otherwise it is printed once.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "admin/holder.h"
#include "base/error.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/terminal.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

constexpr int kBarWidth = 40;
constexpr std::chrono::seconds kRefresh(1);

std::string bar(std::uint64_t part, std::uint64_t whole) {
    const double share = std::clamp(ratio(part, whole), 0.0, 1.0);
    return std::string(static_cast<std::size_t>(share * kBarWidth + 0.5), '#');
}

struct Look {
    Stats stats;
    std::chrono::steady_clock::time_point at;
};

// Two samples, and the difference between them.
class View {
  public:
    View(const Look& now, const Look& before)
        : stats(now.stats),
          between(difference(now.stats, before.stats)),
          seconds_(std::chrono::duration<double>(now.at - before.at).count()) {}

    const Stats& stats;
    const Stats between;

    std::string rate(std::uint64_t n) const {
        return count_text(ratio(static_cast<double>(n), seconds_));
    }
    std::string bytes_rate(std::uint64_t bytes) const {
        return size_text(ratio(static_cast<double>(bytes), seconds_)) + "/s";
    }

  private:
    double seconds_;
};

std::string user_line(const View& v, const char* op, std::uint64_t bytes, std::uint64_t requests,
                      const LatencySummary& latency) {
    return fmt::format("{:<9} {:>14}  {:>8}/s  p50 {}, p99 {}, p99.9 {} since it was opened\n", op,
                       v.bytes_rate(bytes), v.rate(requests), micros_text(latency.p50),
                       micros_text(latency.p99), micros_text(latency.p999));
}

std::string waf_line(const View& v) {
    const std::string present =
        v.between.bytes.user_written > 0
            ? fmt::format("{:.2f} data, {:.2f} total", v.between.waf_data, v.between.waf_total)
            : "-";
    return fmt::format("WAF       now {}; over the array's life {:.3f} data, {:.3f} total\n",
                       present, v.stats.waf_data, v.stats.waf_total);
}

std::string bands_text(const Stats::Bands& bands) {
    std::string text = "\n";
    for (const auto& [state, n] :
         {std::pair{"free", bands.free}, {"open", bands.open}, {"closed", bands.closed}}) {
        text += fmt::format("{:<9} {:>8} {}\n", state, n, bar(n, bands.total));
    }
    text += "closed bands by share of valid blocks\n";
    for (std::size_t tenth = 0; tenth < bands.by_validity.size(); ++tenth) {
        const std::uint32_t n = bands.by_validity[tenth];
        text += fmt::format("{:>3}-{:<3}%  {:>8} {}\n", tenth * 10, tenth * 10 + 10, n,
                            bar(n, bands.closed));
    }
    return text;
}

std::string screen(const View& v) {
    const Stats& s = v.stats;
    const Stats& d = v.between;
    std::uint64_t drive_errors = 0;
    for (const DeviceStatus& device : s.devices) drive_errors += device.errors;
    std::string text = state_text(s);
    text += fmt::format("space     {} used of {} writable\n", size_text(s.space.used_bytes),
                        size_text(s.space.writable_bytes));
    for (const VolumeInfo& volume : s.volumes) {
        if (!volume.device.empty())
            text += fmt::format("device    {}: volume {}\n", volume.device, volume.name);
    }
    text += user_line(v, "write", d.bytes.user_written, d.latency.write.count, s.latency.write);
    text += user_line(v, "read", d.bytes.user_read, d.latency.read.count, s.latency.read);
    text += fmt::format("to QLC    {} data, {} GC, {} parity, {} headers, {} padding, {} rebuilt\n",
                        v.bytes_rate(d.bytes.qlc_data), v.bytes_rate(d.bytes.qlc_gc),
                        v.bytes_rate(d.bytes.qlc_parity), v.bytes_rate(d.bytes.qlc_header),
                        v.bytes_rate(d.bytes.qlc_padding), v.bytes_rate(d.bytes.qlc_rebuild));
    text += fmt::format("to SCM    {} TPS, {} PMT\n", v.bytes_rate(d.bytes.tps_written),
                        v.bytes_rate(d.bytes.pmt_written));
    text += waf_line(v);
    text += fmt::format("GC        {} bands/s, {} blocks/s\n", v.rate(d.gc.bands_moved),
                        v.rate(d.gc.blocks_moved));
    text += fmt::format("errors    {} checksum, {} rebuilt, {} unreadable, {} of drives\n",
                        s.errors.verify_failed, s.errors.reconstructed, s.errors.unreadable,
                        drive_errors);
    return text + jobs_text(s) + bands_text(s.bands);
}

Result<Look> look(const Holder& holder) {
    auto stats = holder.stats();
    if (!stats) return fail(stats.error());
    return Look{std::move(*stats), std::chrono::steady_clock::now()};
}

Status show(const std::string& array_file) {
    const auto options = Options::from_file(array_file);
    if (!options) return fail(options.error());
    const auto holder = Holder::of(*options);
    if (!holder) {
        return fail(holder.error().code, "{}: {}; use `qlcshape status` for a closed array",
                    array_file, holder.error().message);
    }
    std::optional<Terminal> terminal;
    if (::isatty(STDOUT_FILENO) != 0) terminal.emplace();
    Result<Look> before = look(*holder);
    while (before) {
        if (!terminal) std::this_thread::sleep_for(kRefresh);
        if (terminal && !terminal->wait(kRefresh)) return {};
        Result<Look> now = look(*holder);
        if (!now) return fail(now.error());
        if (now->stats.epoch != before->stats.epoch) before = now;  // another process has it
        const std::string text = screen(View(*now, *before));
        if (!terminal) {
            say("{}", text);
            return {};
        }
        terminal->draw(text);
        before = std::move(now);
    }
    return fail(before.error());
}

}  // namespace

void add_top(CLI::App& app, int& exit_code) {
    auto array_file = std::make_shared<std::string>();
    CLI::App* verb =
        app.add_subcommand("top", "show live rates of an array that a process has open");
    verb->add_option("ARRAY.toml", *array_file, "the array file")->required();
    verb->callback([array_file, &exit_code] {
        const Status shown = show(*array_file);
        exit_code = shown ? kDone : report_error("top", false, shown.error());
    });
}

}  // namespace qlcshape::tools
