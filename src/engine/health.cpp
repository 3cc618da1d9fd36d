// SPDX-License-Identifier: Apache-2.0
#include "engine/health.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/printable.h"
#include "engine/ending.h"
#include "engine/file_room.h"
#include "format/layout.h"
#include "format/superblock.h"

namespace qlcshape {

namespace {

constexpr std::array kWorse = {"ok", "degraded", "unprotected", "failed"};
enum Health : std::size_t { ok, degraded, unprotected, failed };
constexpr std::uint32_t kParity = 2;

class Assessment {
  public:
    explicit Assessment(Stats& stats) : s_(stats) {}

    void add(Health health, const std::string& reason) {
        raise(health);
        s_.health_reasons.push_back(printable(reason));
    }

    void raise(Health health) {
        const auto now = std::ranges::find(kWorse, s_.health) - kWorse.begin();
        if (now < static_cast<std::ptrdiff_t>(health)) s_.health = kWorse[health];
    }

  private:
    Stats& s_;
};

std::string name_of(const DeviceStatus& d) { return fmt::format("{} drive {}", d.role, d.index); }

// What is wrong with a drive; empty where nothing is. One transfer that failed is no fault: it was
// done again or its blocks rebuilt, and `failing` says that the drive goes on failing. `cause` is
// printed before it, with what helps: a failure that it names is not repeated.
std::string fault_of(const DeviceStatus& d, const std::string& cause) {
    if (d.state == "missing") {
        return fmt::format("{} is missing{}", name_of(d),
                           d.path.empty() ? "" : fmt::format(" ({})", d.path));
    }
    if (d.state == "failed") return fmt::format("{} can't be used: {}", name_of(d), d.last_error);
    if (d.state == "out") {
        const std::string last = d.last_error.empty() ? "" : "; its last failure: " + d.last_error;
        return name_of(d) + " is out" +
               (last.empty() ? "" : ", since it took no writes or did not answer") +
               "; when it is well it is taken back, while the array is open or at its next "
               "opening" +
               last;
    }
    if (!d.failing) return "";  // what failed once was done again, or rebuilt
    std::string fault = fmt::format("{} fails: {} transfers failed", name_of(d), d.errors);
    const std::string without_remedy = d.last_error.substr(0, d.last_error.rfind("; "));
    const bool said = !d.last_error.empty() && cause.find(without_remedy) != std::string::npos;
    return said ? fault : fault + ", the last: " + d.last_error;
}

bool usable(const DeviceStatus& d) { return d.serves() && !d.failing; }

std::size_t qlc_drives(const Stats& s) {
    return static_cast<std::size_t>(
        std::ranges::count(s.devices, std::string("qlc"), &DeviceStatus::role));
}

bool shares_slots(const Stats& s) { return qlc_drives(s) > s.data_strips + kParity; }

bool is_whole(const Stats::Protection& p) { return p.one + p.none + p.lost == 0; }

// Where there are more drives than a band has columns, the columns of a lost one are rebuilt on the
// others: then it is not missed.
bool is_missed(const Stats& s, const DeviceStatus& d) {
    return d.bands != 0 || !shares_slots(s) || !is_whole(s.protection);
}

// Of more drives than a band has columns three may be away that no band has in common.
bool beyond_parity(const Stats& s) {
    if (shares_slots(s)) return s.protection.lost != 0;
    return std::ranges::count_if(s.devices, [&](const DeviceStatus& d) {
               return d.role == "qlc" && !usable(d);
           }) > kParity;
}

void assess_drives(const Stats& s, Assessment& out) {
    std::size_t qlc_gone = 0, qlc_faulty = 0, scm = 0;
    ScmSet scm_there;
    for (const DeviceStatus& d : s.devices) {
        if (d.role == to_string(DeviceRole::spare)) {
            if (d.state != "spare")
                out.add(degraded, fmt::format("a spare can't be used: {}", d.last_error));
            continue;
        }
        if (d.state == "removed") {
            ++qlc_gone;
            continue;
        }
        const bool gone = !d.serves();
        const bool is_scm = d.role == "scm";
        scm += is_scm ? 1 : 0;
        if (is_scm && !gone) scm_there.set(d.index);
        std::string fault = fault_of(d, s.cause);
        if (fault.empty()) continue;
        if (is_scm && gone && s.pmt.copies == 1) {
            // The table is striped over the scm drives without redundancy.
            out.add(failed, fault + "; the array opens only with all scm drives");
            continue;
        }
        if (d.role == "qlc") {
            qlc_faulty += is_missed(s, d) ? 1 : 0;
            qlc_gone += gone ? 1 : 0;
            if (gone && shares_slots(s) && d.bands == 0) {
                fault += is_missed(s, d) ? "; no band names it any more"
                                         : "; the other drives have what it had";
            }
        }
        out.add(degraded, fault);
    }
    if (qlc_faulty >= 2) out.raise(unprotected);
    if (const std::size_t most =
            qlc_drives(s) - std::min<std::size_t>(qlc_drives(s), s.data_strips);
        qlc_gone > most) {
        out.add(failed, fmt::format("the array opens with at most {} qlc drives missing", most));
    } else if (beyond_parity(s)) {
        out.add(failed, shares_slots(s)
                            ? fmt::format("of {} bands in use more than two strips are on drives "
                                          "that are not there: {}",
                                          s.protection.lost, remedy_of_loss(s))
                            : "parity covers two qlc drives: " + remedy_of_loss(s));
    }
    if (scm == 1) {
        out.add(unprotected,
                "there is only one scm drive: the newest writes have no second copy until they are "
                "on the qlc drives");
    } else if (s.pmt.copies > 1 && scm_there.count() < scm) {
        if (!pmt_whole_on(scm_there, static_cast<std::uint32_t>(scm), s.pmt.copies))
            out.add(failed, "parts of the table are on none of the scm drives that are there");
        else if (scm_there.count() == 1)
            out.add(unprotected, "the newest writes and the table are on one scm drive alone");
    }
}

// What is written while a drive is missing lacks parity, and does so until GC has moved it.
void assess_protection(const Stats& s, Assessment& out) {
    const Stats::Protection& p = s.protection;
    if (is_whole(p)) return;
    const bool all_there = std::ranges::all_of(s.devices, [](const DeviceStatus& d) {
        return d.role != "qlc" || d.serves() || d.state == "removed";
    });
    std::string reason =
        fmt::format("of {} bands in use, {} can lose one more qlc drive and {} can't lose any",
                    p.lost + p.none + p.one + p.two, p.one, p.none);
    if (all_there) {
        reason +=
            ": they lack strips on drives that were missing, and get them while the array is open";
    }
    out.add(p.none + p.lost != 0 ? unprotected : degraded, reason);
}

}  // namespace

std::string remedy_of_loss(const Stats& s) {
    return beyond_parity(s) ? kReconnect
                            : "close the array and run `qlcshape check`, which names them";
}

void assess_health(Stats& s) {
    Assessment out(s);
    if (s.state == "failed")
        out.add(failed, "writing has ended " + s.cause + (s.remedy.empty() ? "" : "; " + s.remedy));
    if (s.recovery.segments_unread != 0) {
        out.add(failed, fmt::format("{} bands were cut short because too many of their drives did "
                                    "not answer: acknowledged writes may be missing",
                                    s.recovery.segments_unread));
    }
    assess_drives(s, out);
    assess_protection(s, out);
    if (s.scrub.bands_damaged != 0) {
        out.add(degraded, fmt::format("in {} bands there are strips that are not what was written: "
                                      "they are rewritten from the other drives",
                                      s.scrub.bands_damaged));
    }
    if (s.scrub.bands_not_mended != 0) {
        out.add(degraded,
                fmt::format("in {} bands the scrub found more damage than can be rebuilt now: they "
                            "are left as they are; {}",
                            s.scrub.bands_not_mended, remedy_of_loss(s)));
    }
    if (s.bands.out_of_use != 0) {
        out.add(degraded, fmt::format("{} bands are out of use because parts of them can't be read "
                                      "or a drive failed to erase them",
                                      s.bands.out_of_use));
    }
}

void add_failure(Stats& s, const std::string& reason) { Assessment(s).add(failed, reason); }

std::string headline(const Stats& s) {
    const bool crashed = s.state == "crashed";
    if (s.health == "ok" && !crashed) return "";
    std::string word = s.health == "ok" ? "crashed" : s.health;
    std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::toupper(c); });
    std::vector<std::string> reasons = s.health_reasons;
    if (crashed) {
        const auto full = std::ranges::find_if(s.file_systems, is_short);
        reasons.push_back(
            full == s.file_systems.end()
                ? "not closed cleanly; the next opening recovers it"
                : "not closed cleanly; the next opening recovers it, if there is room: " +
                      shortage(*full));
    }
    return fmt::format("{}{}: {}", word, s.read_only ? ", read-only" : "",
                       fmt::join(reasons, "; "));
}

}  // namespace qlcshape
