// SPDX-License-Identifier: Apache-2.0
// demo: shows on files in a temporary folder what the engine is for.
#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/error.h"
#include "tools/bench_report.h"
#include "tools/demo_plan.h"
#include "tools/demo_run.h"
#include "tools/report.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

constexpr const char* kDefaultSize = "1GiB";

struct DemoArguments {
    std::string dir;
    std::string size = kDefaultSize;
    bool keep = false;
    bool json = false;
};

// A new folder; gone when this is, unless it is to be kept.
class Folder {
  public:
    static Result<Folder> make(const std::string& dir, bool keep) {
        const char* temporary = std::getenv("TMPDIR");
        const std::string parent = !dir.empty() ? dir : temporary != nullptr ? temporary : "/tmp";
        std::string name = parent + "/qlcshape-demo-XXXXXX";
        if (::mkdtemp(name.data()) != nullptr) return Folder(name, keep);
        return fail(Errc::invalid_argument,
                    "{}: no folder can be made there: {}; choose another with --dir", parent,
                    std::strerror(errno));
    }
    Folder(Folder&& other) noexcept : path_(std::exchange(other.path_, {})), keep_(other.keep_) {}
    ~Folder() {
        std::error_code ignored;
        if (!path_.empty() && !keep_) std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }

  private:
    Folder(std::string path, bool keep) : path_(std::move(path)), keep_(keep) {}
    std::string path_;
    bool keep_;
};

// The array, and finally the in-place comparison's files next to it.
Status check_room(const std::string& folder, const Options& options) {
    std::uint64_t needed = 0;
    for (const DeviceOptions& device : options.devices) needed += 2 * device.size_bytes;
    std::error_code error;
    const auto space = std::filesystem::space(folder, error);
    if (error || space.available >= needed) return {};
    return fail(Errc::no_space,
                "{}: {} free, {} needed: choose another folder with --dir, or a smaller --size",
                folder, size_text(static_cast<double>(space.available)),
                size_text(static_cast<double>(needed)));
}

void print_summary(const DemoResult& r) {
    const Stats::Bytes& b = r.run.bytes;
    const double shaped = ratio(static_cast<double>(r.load.writes), r.load.seconds);
    const double inplace = writes_per_second(r.inplace);
    const auto per_user_byte = [&](std::uint64_t bytes) {
        return fmt::format("{:.3f}", ratio(bytes, b.user_written));
    };
    Table table({"", "shaped", "RAID6 in place"});
    table.add({"random 4 KiB writes", rate_text(shaped), rate_text(inplace)});
    table.add({"bytes to QLC per byte written", fmt::format("{:.3f}", r.run.waf_total), "3.000"});
    table.add({"  the user's data", per_user_byte(b.qlc_data), "1.000"});
    table.add({"  moved by GC", per_user_byte(b.qlc_gc), "0"});
    table.add({"  parity", per_user_byte(b.qlc_parity), "2.000"});
    table.add({"  headers", per_user_byte(b.qlc_header), "0"});
    table.add({"  padding", per_user_byte(b.qlc_padding), "0"});
    table.add({"bytes to SCM per byte, TPS", per_user_byte(b.tps_written), "0"});
    table.add({"bytes to SCM per byte, PMT", per_user_byte(b.pmt_written), "0"});
    table.add(
        {"smallest write to a QLC drive", size_text(static_cast<double>(r.strip_bytes)), "4 KiB"});
    const double strip_kib = static_cast<double>(r.strip_bytes) / 1024;
    table.add({"drive writes per 4 KiB write",
               fmt::format("{:.3f}", r.run.waf_total * 4 / strip_kib),
               fmt::format("{:.3f}", ratio(r.inplace.writes_issued, r.inplace.writes))});
    table.add({"drive reads per 4 KiB write", "GC's",
               fmt::format("{:.3f}", ratio(r.inplace.reads_issued, r.inplace.writes))});
    table.add({"after a power cut", "every stripe whole", "write hole"});
    say("\n{}\n", table.text());
    say("Shaped is {:.1f} times as fast here. A QLC drive with 64 KiB indirection units turns "
        "each\n"
        "4 KiB write in place into 64 KiB of its flash; a shaped write stays as it is.\n",
        ratio(shaped, inplace));
    say("{} {} in all.\n",
        r.wrong() == 0 ? "Nothing was lost or wrong." : "SOMETHING WAS WRONG: see above.",
        seconds_text(r.seconds));
}

void print_json(const DemoResult& r) {
    Json object = new_object("demo");
    const double shaped = ratio(static_cast<double>(r.load.writes), r.load.seconds);
    add_stats(object, r.run);
    object["ok"] = r.wrong() == 0;
    object["seconds"] = r.seconds;
    object["volume_bytes"] = r.volume_bytes;
    object["acknowledged_at_kill"] = r.acknowledged_at_kill;
    object["recovery"] = {{"kind", r.recovery.kind},
                          {"seconds", r.recovery.seconds},
                          {"segments_scanned", r.recovery.segments_scanned},
                          {"tps_records", r.recovery.tps_records},
                          {"blocks_replayed", r.recovery.blocks_replayed},
                          {"segments_discarded", r.recovery.segments_discarded}};
    object["verified"] = {
        {"blocks", r.after_kill.blocks + r.after_loss.blocks},
        {"mismatches", r.after_kill.mismatches + r.after_loss.mismatches},
        {"after_kill",
         {{"blocks", r.after_kill.blocks},
          {"mismatches", r.after_kill.mismatches},
          {"in_flight_kept", r.after_kill.newer}}},
        {"after_loss", {{"blocks", r.after_loss.blocks}, {"mismatches", r.after_loss.mismatches}}}};
    object["check"] = {{"problems_found", r.check.problems_found}, {"blocks", r.check.blocks}};
    object["iops"] = {{"read", 0.0}, {"write", shaped}};
    object["latency_us"] = {{"read", latency_json(r.load.read)},
                            {"write", latency_json(r.load.write)}};
    object["inplace"] = {{"iops", {{"write", writes_per_second(r.inplace)}}},
                         {"ios_per_write", ios_per_write(r.inplace)},
                         {"ratio", ratio(shaped, writes_per_second(r.inplace))}};
    print(object);
}

Result<DemoResult> demo(const DemoArguments& arguments) {
    const Result<std::uint64_t> size = parse_amount(arguments.size);
    if (!size) return fail(size.error().code, "--size: {}", size.error().message);
    const Result<Folder> folder = Folder::make(arguments.dir, arguments.keep);
    if (!folder) return fail(folder.error());
    const Result<Options> options = plan_demo(folder->path(), round_down(*size, kVolumeBlockBytes));
    if (!options) return fail(options.error());
    QS_TRY(check_room(folder->path(), *options));
    std::FILE* const out = arguments.json ? stderr : stdout;
    write_to(out, "In {}{}\n\n", folder->path(), arguments.keep ? ", which is kept" : "");
    return Demo(folder->path(), *options, round_down(*size, kVolumeBlockBytes), out).run();
}

int run_demo(const DemoArguments& arguments) {
    stop_on_signals();
    const Result<DemoResult> result = demo(arguments);
    if (!result) return report_error("demo", arguments.json, result.error());
    if (arguments.json) {
        print_json(*result);
    } else {
        print_summary(*result);
    }
    return result->wrong() == 0 ? kDone : kFoundProblem;
}

}  // namespace

void add_demo(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<DemoArguments>();
    CLI::App* verb = app.add_subcommand(
        "demo", "show the main job on files: write, kill, recover, lose two drives, verify");
    verb->add_option("--dir", arguments->dir,
                     "where to make its folder; default: $TMPDIR, otherwise /tmp");
    verb->add_option("--size", arguments->size,
                     "size of the volume; makes ten files of about a sixth of it each")
        ->capture_default_str();
    verb->add_flag("--keep", arguments->keep, "keep the folder");
    verb->add_flag("--json", arguments->json, "print one JSON object on stdout");
    verb->callback([arguments, &exit_code] { exit_code = run_demo(*arguments); });
}

}  // namespace qlcshape::tools
