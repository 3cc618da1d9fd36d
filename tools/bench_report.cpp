// SPDX-License-Identifier: Apache-2.0
#include "tools/bench_report.h"

#include <fmt/format.h>

#include "tools/tell.h"
#include "tools/units.h"

namespace qlcshape::tools {

namespace {

double per_second(std::uint64_t n, double seconds) {
    return ratio(static_cast<double>(n), seconds);
}

void print_latency(const char* what, std::uint64_t requests, std::uint64_t bytes, double seconds,
                   const LatencySummary& latency) {
    if (requests == 0) return;
    say("{:<9} {}, {}/s; p50 {}, p99 {}, p99.9 {}, max {}\n", what,
        rate_text(per_second(requests, seconds)), size_text(per_second(bytes, seconds)),
        micros_text(latency.p50), micros_text(latency.p99), micros_text(latency.p999),
        micros_text(latency.max));
}

std::string blocks_text(const VerifyResult& verified) {
    return count_text(static_cast<double>(verified.blocks));
}

void print_verified(const BenchResult& result) {
    if (result.resumed) {
        for (const std::string& line : result.resumed->first) say("wrong     {}\n", line);
        say("before    {} blocks of the run before, {} wrong ({} hold what was in flight)\n",
            blocks_text(*result.resumed), result.resumed->mismatches, result.resumed->newer);
    }
    if (!result.verified) return;
    for (const std::string& line : result.verified->first) say("wrong     {}\n", line);
    if (!result.load.first_mismatch.empty()) {
        say("wrong     while running: {}\n", result.load.first_mismatch);
    }
    say("verified  {} blocks, {} wrong{}\n", blocks_text(*result.verified),
        result.load.mismatches + result.verified->mismatches,
        result.verified->blocks == 0 ? ": this run wrote none; --prefill would" : "");
}

}  // namespace

double BenchResult::writes_per_second() const { return per_second(load.writes, load.seconds); }

std::uint64_t BenchResult::mismatches() const {
    return load.mismatches + (resumed ? resumed->mismatches : 0) +
           (verified ? verified->mismatches : 0);
}

double writes_per_second(const InplaceResult& result) {
    return per_second(result.writes, result.seconds);
}

double ios_per_write(const InplaceResult& result) {
    return ratio(result.reads_issued + result.writes_issued, result.writes);
}

void print_json(const BenchArguments& a, const LoadOptions& load, const BenchResult& result) {
    const LoadResult& l = result.load;
    Json object = new_object("bench");
    object["rw"] = a.rw;
    object["bs"] = load.unit_bytes;
    object["iodepth"] = load.depth;
    object["random_distribution"] = a.distribution;
    object["seed"] = a.seed;
    object["on_memory"] = a.memory;
    object["volume"] = {{"name", result.volume}, {"bytes", result.volume_bytes}};
    object["seconds"] = l.seconds;
    add_stats(object, result.run);
    object["requests"] = {{"read", l.reads}, {"write", l.writes}, {"trim", l.trims}};
    object["iops"] = {{"read", per_second(l.reads, l.seconds)},
                      {"write", per_second(l.writes, l.seconds)},
                      {"trim", per_second(l.trims, l.seconds)}};
    object["bandwidth_bytes_per_second"] = {{"read", per_second(l.read_bytes, l.seconds)},
                                            {"write", per_second(l.written_bytes, l.seconds)}};
    object["latency_us"] = {{"read", latency_json(l.read)}, {"write", latency_json(l.write)}};
    object["verified"] = {{"blocks", result.verified ? result.verified->blocks : 0},
                          {"mismatches", result.mismatches()}};
    if (result.resumed) {
        object["verified"]["before"] = {{"blocks", result.resumed->blocks},
                                        {"mismatches", result.resumed->mismatches},
                                        {"in_flight_kept", result.resumed->newer}};
    }
    if (result.inplace) {
        const double writes = writes_per_second(*result.inplace);
        object["inplace"] = {{"iops", {{"write", writes}}},
                             {"seconds", result.inplace->seconds},
                             {"writes", result.inplace->writes},
                             {"reads_issued", result.inplace->reads_issued},
                             {"writes_issued", result.inplace->writes_issued},
                             {"ios_per_write", ios_per_write(*result.inplace)},
                             {"ratio", ratio(result.writes_per_second(), writes)}};
    }
    print(object);
}

void print_text(const BenchArguments& a, const LoadOptions& load, const BenchResult& result) {
    const LoadResult& l = result.load;
    const Stats& s = result.run;
    say("load      {} {}, depth {}{}, on \"{}\" of {}{}, for {}\n", a.rw,
        size_text(static_cast<double>(load.unit_bytes)), load.depth,
        load.random ? ", " + a.distribution : "", result.volume,
        size_text(static_cast<double>(result.volume_bytes)), a.memory ? " in memory" : "",
        seconds_text(l.seconds));
    print_latency("read", l.reads, l.read_bytes, l.seconds, l.read);
    print_latency("write", l.writes, l.written_bytes, l.seconds, l.write);
    print_latency("trim", l.trims, l.trimmed_bytes, l.seconds, l.write);
    if (l.writes != 0) {
        say("WAF       {:.3f} data, {:.3f} total; GC moved {} blocks of {} bands\n", s.waf_data,
            s.waf_total, count_text(static_cast<double>(s.gc.blocks_moved)), s.gc.bands_moved);
    }
    if (const std::uint64_t lookups = s.pmt.hits + s.pmt.misses; lookups != 0) {
        say("PMT       {} of {} look-ups in the cache\n", percent_text(ratio(s.pmt.hits, lookups)),
            count_text(static_cast<double>(lookups)));
    }
    print_verified(result);
    if (result.inplace) {
        const double writes = writes_per_second(*result.inplace);
        say("in place  {}, {:.1f} I/Os a write, in {}; shaped is {:.1f} times as fast\n",
            rate_text(writes), ios_per_write(*result.inplace),
            seconds_text(result.inplace->seconds), ratio(result.writes_per_second(), writes));
    }
}

}  // namespace qlcshape::tools
