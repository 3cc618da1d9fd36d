// top: a live view of an array that another process has open, from the metrics file which that
// process writes each second. On a terminal it is redrawn; else it is printed once.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "base/error.h"
#include "tools/metrics.h"
#include "tools/report.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

constexpr int kBarWidth = 40;
constexpr double kStaleSeconds = 5;

std::string bar(double part, double whole) {
    const double share = whole > 0 ? std::clamp(part / whole, 0.0, 1.0) : 0;
    return std::string(static_cast<std::size_t>(share * kBarWidth + 0.5), '#');
}

// Two looks at a file, and what lies between them.
struct View {
    const Metrics& now;
    const Metrics& before;

    double rate(const std::string& name, const std::string& labels = {}) const {
        const double rise = now.get(name, labels) - before.get(name, labels);
        return std::max(0.0, ratio(rise, now.written_at - before.written_at));
    }
    std::string bytes_rate(const std::string& name, const std::string& labels = {}) const {
        return bytes_text(rate(name, labels)) + "/s";
    }
    std::string latency(const std::string& op, const std::string& quantile) const {
        return micros_text(1e6 * now.get("latency_seconds",
                                         fmt::format("op=\"{}\",quantile=\"{}\"", op, quantile)));
    }
};

std::string user_line(const View& v, const std::string& op) {
    const std::string labels = fmt::format("op=\"{}\"", op);
    return fmt::format("{:<9} {:>14}  {:>8}/s  p50 {}, p99 {}, p99.9 {} since it was opened\n", op,
                       v.bytes_rate("user_bytes_total", labels),
                       count_text(v.rate("requests_total", labels)), v.latency(op, "0.5"),
                       v.latency(op, "0.99"), v.latency(op, "0.999"));
}

std::string waf_line(const View& v) {
    const double user = v.rate("user_bytes_total", "op=\"write\"");
    const double gc = v.rate("qlc_written_bytes_total", "kind=\"gc\"");
    const double all = v.rate("qlc_written_bytes_total");
    const std::string present =
        user > 0 ? fmt::format("{:.2f} data, {:.2f} total", 1 + gc / user, all / user) : "-";
    return fmt::format("WAF       now {}; over the array's life {:.3f} data, {:.3f} total\n",
                       present, v.now.get("waf_ratio", "of=\"data\""),
                       v.now.get("waf_ratio", "of=\"total\""));
}

std::string bands_text(const View& v) {
    const double total = v.now.get("bands");
    std::string text = "\n";
    for (const char* state : {"free", "open", "closed"}) {
        const double n = v.now.get("bands", fmt::format("state=\"{}\"", state));
        text += fmt::format("{:<9} {:>8.0f} {}\n", state, n, bar(n, total));
    }
    text += "closed bands by share of valid blocks\n";
    for (int tenth = 0; tenth < 10; ++tenth) {
        const double n = v.now.get("bands_by_validity", fmt::format("tenth=\"{}\"", tenth));
        text += fmt::format("{:>3}-{:<3}%  {:>8.0f} {}\n", tenth * 10, tenth * 10 + 10, n,
                            bar(n, v.now.get("bands_by_validity")));
    }
    return text;
}

std::string screen(const View& v) {
    std::string text = fmt::format("array     {}  {}\n", v.now.label("array_state", "array"),
                                   v.now.label("array_state", "state"));
    if (v.now.age_seconds > kStaleSeconds) {
        text += fmt::format("          as of {} ago: the process is gone, or hangs\n",
                            seconds_text(v.now.age_seconds));
    }
    text += fmt::format("space     {} used of {} writable\n",
                        bytes_text(v.now.get("space_bytes", "kind=\"used\"")),
                        bytes_text(v.now.get("space_bytes", "kind=\"writable\"")));
    text += user_line(v, "write") + user_line(v, "read");
    text += "to QLC   ";
    for (const char* kind : {"data", "gc", "parity", "header", "padding"}) {
        text += fmt::format(
            " {} {}", v.bytes_rate("qlc_written_bytes_total", fmt::format("kind=\"{}\"", kind)),
            kind);
    }
    text += fmt::format("\nto SCM    {} TPS, {} PMT\n", v.bytes_rate("tps_written_bytes_total"),
                        v.bytes_rate("pmt_written_bytes_total"));
    text += waf_line(v);
    text += fmt::format("GC        {:.1f} bands/s, {} blocks/s\n", v.rate("gc_bands_total"),
                        count_text(v.rate("gc_blocks_total")));
    text += fmt::format(
        "errors    {:.0f} checksum, {:.0f} rebuilt, {:.0f} unreadable, {:.0f} of drives\n",
        v.now.get("errors_total", "kind=\"checksum\""),
        v.now.get("errors_total", "kind=\"rebuilt\""),
        v.now.get("errors_total", "kind=\"unreadable\""), v.now.get("device_errors_total"));
    return text + "jobs      none\n" + bands_text(v);
}

Result<std::string> metrics_path(const std::string& array_file) {
    const Result<Options> options = Options::from_file(array_file);
    if (!options) return fail(options.error());
    if (options->metrics_path.empty()) {
        return fail(Errc::invalid_argument,
                    "{}: the array tells nothing while it is open: add metrics = \"FILE\" to "
                    "[engine], and open it anew",
                    array_file);
    }
    return options->metrics_path;
}

Status show(const std::string& path) {
    const bool terminal = ::isatty(STDOUT_FILENO) != 0;
    Result<Metrics> before = Metrics::read(path);
    do {
        // A little more than the interval at which the file is written.
        std::this_thread::sleep_for(std::chrono::milliseconds(1100));
        Result<Metrics> now = Metrics::read(path);
        if (!before || !now) return fail((before ? now : before).error());
        // To the upper left corner, and away with what was there.
        fmt::print("{}{}", terminal ? "\033[H\033[2J" : "", screen({*now, *before}));
        std::fflush(stdout);
        before = std::move(now);
    } while (terminal);
    return {};
}

}  // namespace

void add_top(CLI::App& app, int& exit_code) {
    auto array_file = std::make_shared<std::string>();
    CLI::App* verb = app.add_subcommand("top", "a live view of an array that a process has open");
    verb->add_option("ARRAY.toml", *array_file, "the array file")->required();
    verb->callback([array_file, &exit_code] {
        const Result<std::string> path = metrics_path(*array_file);
        const Status shown = path ? show(*path) : fail(path.error());
        exit_code = shown ? kDone : report_error("top", false, shown.error());
    });
}

}  // namespace qlcshape::tools
