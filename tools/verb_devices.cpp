// SPDX-License-Identifier: Apache-2.0
// devices: finds arrays by the superblocks on their drives, and can make an array file again.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "tools/array_text.h"
#include "tools/report.h"
#include "tools/survey.h"
#include "tools/tell.h"
#include "tools/units.h"
#include "tools/verbs.h"

namespace qlcshape::tools {

namespace {

struct DevicesArguments {
    std::vector<std::string> paths;
    std::string array_file;
    bool json = false;
};

const char* state_of(const SurveyedMember& member) {
    if (member.removed()) return "removed";
    if (member.failed()) return "failed";
    if (member.devices.empty()) return "missing";
    if (member.devices.size() > 1) return "twice";
    if (member.cut_short) return "short";
    if (member.diverged) return "diverged";
    return member.older ? "older" : "member";
}

Json member_json(const SurveyedMember& member) {
    Json paths = Json::array();
    for (const SurveyedDevice& device : member.devices) paths.push_back(device.candidate.path);
    return {{"role", to_string(member.record.role)},          {"index", member.record.index},
            {"uuid", member.record.uuid.to_string()},         {"state", state_of(member)},
            {"capacity_bytes", member.record.capacity_bytes}, {"paths", paths}};
}

Json array_json(const SurveyedArray& array) {
    const Superblock& s = array.superblock;
    Json object = {{"name", s.name},
                   {"uuid", s.array.to_string()},
                   {"state", array.state()},
                   {"complete", array.problem().empty()},
                   {"problem", array.problem()},
                   {"epoch", s.epoch},
                   {"generation", s.generation},
                   {"data_strips", s.parameters.data_strips},
                   {"strip_bytes", s.parameters.strip_bytes},
                   {"band_bytes", s.parameters.band_bytes}};
    object["members"] = Json::array();
    for (const SurveyedMember& member : array.members)
        object["members"].push_back(member_json(member));
    object["no_longer_members"] = Json::array();
    for (const SurveyedDevice& device : array.left)
        object["no_longer_members"].push_back(device.candidate.path);
    return object;
}

void print_survey_json(const Survey& found) {
    Json object = new_object("devices");
    object["arrays"] = Json::array();
    for (const SurveyedArray& array : found.arrays) object["arrays"].push_back(array_json(array));
    for (const auto& [key, devices] : {std::pair{"damaged", &found.damaged},
                                       {"unreadable", &found.unreadable},
                                       {"foreign", &found.foreign}}) {
        object[key] = Json::array();
        for (const SurveyedDevice& device : *devices)
            object[key].push_back({{"path", device.candidate.path}, {"why", device.why}});
    }
    print(object);
}

void print_array(const SurveyedArray& array) {
    const Superblock& s = array.superblock;
    const std::string state = array.state();
    const ArrayParameters& p = s.parameters;
    const bool more = p.qlc_count > p.data_strips + 2;
    say("array {} ({}): {}+2{} qlc, {} scm\n", s.name, s.array.to_string(), p.data_strips,
        more ? fmt::format(" on {}", p.qlc_count) : "", p.scm_count);
    say("  {}\n", state == "open" ? "open: a process has it"
                  : state == "crashed"
                      ? "crashed: no process has it open, and the next opening recovers it"
                      : "clean: it was closed, and no process has it open");
    const std::string problem = array.problem();
    say("  {}\n", problem.empty() ? "complete" : problem);
    Table table({"role", "drive", "state", "size", "device", "uuid"});
    for (const SurveyedMember& member : array.members) {
        const MemberRecord& r = member.record;
        const auto add = [&](const std::string& path) {
            table.add({to_string(r.role), std::to_string(r.index), state_of(member),
                       size_text(r.capacity_bytes), path, r.uuid.to_string()});
        };
        if (member.devices.empty()) add("-");
        for (const SurveyedDevice& device : member.devices) add(device.candidate.path);
    }
    say("{}", table.text());
    for (const SurveyedDevice& device : array.left)
        say("  no longer a member: {}\n", device.candidate.path);
    say("\n");
}

void print_survey(const Survey& found) {
    for (const SurveyedArray& array : found.arrays) print_array(array);
    if (found.arrays.empty()) say("no arrays\n");
    for (const SurveyedDevice& device : found.damaged)
        say("damaged: {}: {}\n", device.candidate.path, device.why);
    for (const SurveyedDevice& device : found.unreadable) say("unreadable: {}\n", device.why);
    for (const SurveyedDevice& device : found.foreign)
        say("of no array: {}\n", device.candidate.path);
}

Status write_file(const Survey& found, const std::string& path) {
    if (found.arrays.size() == 1) return write_array_file(found.arrays.front(), path);
    if (found.arrays.empty())
        return fail(Errc::not_found, "{}: no array was found, so there is nothing to write", path);
    return fail(Errc::invalid_argument, "{} arrays are here: name the devices of one",
                found.arrays.size());
}

int exit_code_of(const Survey& found) {
    if (found.arrays.empty() && found.damaged.empty() && !found.unreadable.empty())
        return kCouldNotRun;
    const bool whole = std::ranges::all_of(
        found.arrays, [](const SurveyedArray& array) { return array.problem().empty(); });
    return whole && found.damaged.empty() ? kDone : kFoundProblem;
}

int run_devices(const DevicesArguments& arguments) {
    const auto candidates = find_candidates(arguments.paths);
    if (!candidates) return report_error("devices", arguments.json, candidates.error());
    const Survey found = survey(*candidates);
    if (!arguments.array_file.empty()) {
        if (const Status written = write_file(found, arguments.array_file); !written) {
            report_error("devices", arguments.json, written.error());
            return kCouldNotRun;
        }
    }
    (arguments.json ? print_survey_json : print_survey)(found);
    return exit_code_of(found);
}

}  // namespace

void add_devices(CLI::App& app, int& exit_code) {
    auto arguments = std::make_shared<DevicesArguments>();
    CLI::App* verb =
        app.add_subcommand("devices", "find arrays by the superblocks on their drives");
    verb->add_option("PATH", arguments->paths,
                     "files, block devices, folders; default: all block devices and the files of "
                     "the current folder");
    verb->add_option("--write-array", arguments->array_file,
                     "write an array file for the array that was found; FILE must not exist");
    verb->add_flag("--json", arguments->json, "print one JSON object on stdout");
    verb->callback([arguments, &exit_code] { exit_code = run_devices(*arguments); });
}

}  // namespace qlcshape::tools
