// SPDX-License-Identifier: Apache-2.0
#include "admin/holder.h"

#include <algorithm>
#include <charconv>

#include "admin/control_socket.h"
#include "admin/stats_json.h"
#include "base/process.h"
#include "device/medium.h"

namespace qlcshape {

namespace {

constexpr std::size_t kMostAnswerBytes = 16 << 20;
constexpr int kPatience = 5;  // seconds
constexpr std::string_view kDone = "done\n";
const std::string kOther = "other ";

}  // namespace

Result<Holder> Holder::of(const Options& options) {
    std::vector<Drive> drives;
    for (const DeviceOptions& d : options.devices) {
        std::string medium = medium_of(d.path);
        if (!medium.empty()) drives.push_back({d.path, std::move(medium)});
    }
    Error error{Errc::not_found, "no process of this user has the array open"};
    for (const Drive& drive : drives) {
        const auto socket = connect_to(drive.medium);
        if (socket) return Holder(drives, drive.medium, describe_process(socket->peer()));
        error = socket.error();
    }
    return fail(error);
}

// "other " and a medium, or the error's number, a blank and its message; anything else, and nothing
// at all, is an answer that was cut off.
Error Holder::error_in(const std::string& answer) const {
    for (const Drive& drive : drives_) {
        if (answer != kOther + drive.medium) continue;
        return {Errc::foreign_device,
                fmt::format("{}: {} has other drives of this array file open, but not this one: "
                            "where it was replaced or removed take it out of the array file; "
                            "where it is a copy name the original",
                            drive.path, process_)};
    }
    int code = 0;
    const char* const end = answer.data() + answer.size();
    const auto [rest, failed] = std::from_chars(answer.data(), end, code);
    if (failed != std::errc{} || rest == end) {
        return {Errc::io_error,
                fmt::format("{}, which has the array open, ended before it answered; the request "
                            "may have been carried out or not",
                            process_)};
    }
    return {static_cast<Errc>(code), std::string(rest + 1, end)};
}

Result<std::string> Holder::ask(const std::string& request, Takes takes) const {
    const auto socket = connect_to(asked_);
    if (!socket) return fail(Errc::closed, "{}, which had the array open, has ended", process_);
    socket->set_timeout(kPatience);
    std::string named;
    for (const Drive& drive : drives_) named += drive.medium + " ";
    if (!socket->send(named + "\n" + request)) return fail(error_in(""));
    auto answer = socket->receive(kMostAnswerBytes);
    for (bool runs = takes == Takes::its_time;
         runs && !answer && answer.error().code == Errc::busy;) {
        runs = stats().has_value();
        answer = socket->receive(kMostAnswerBytes);  // it may have answered, and ended
    }
    if (!answer) {
        return fail(
            Errc::io_error, "{}, which has the array open, does not answer within {} s ({}); {}",
            process_, kPatience, answer.error().message,
            takes == Takes::moments
                ? "find out why, or stop it"
                : "the request may have been carried out or not: check the array when it answers");
    }
    if (!answer->starts_with(kDone)) return fail(error_in(*answer));
    return answer->substr(kDone.size());
}

Result<std::string> Holder::ask_at_length(const std::string& request) const {
    QS_TRY(stats());
    return ask(request, Takes::its_time);
}

Result<Stats> Holder::stats() const {
    const auto text = ask("stats", Takes::moments);
    if (!text) return fail(text.error());
    return stats_from_json(*text);
}

Status Holder::create_volume(const std::string& name, std::uint64_t bytes) const {
    QS_TRY(ask_at_length(fmt::format("create {} {}", name, bytes)));
    return {};
}

Result<bool> Holder::holds_data(const std::string& volume, std::uint64_t from_bytes) const {
    const auto answer = ask_at_length(fmt::format("holds {} {}", volume, from_bytes));
    if (!answer) return fail(answer.error());
    return *answer == "yes";
}

Status Holder::resize_volume(const std::string& name, std::uint64_t bytes) const {
    QS_TRY(ask_at_length(fmt::format("resize {} {}", name, bytes)));
    return {};
}

Result<Engine::Replaced> Holder::replace(const std::string& old, const DeviceOptions& fresh,
                                         bool force) const {
    const auto answer = ask_at_length(
        fmt::format("replace\n{}\n{}\n{}\n{}", old, fresh.path, fresh.size_bytes, force ? 1 : 0));
    return drive_in(answer);
}

Result<Engine::Replaced> Holder::fail_device(const std::string& device) const {
    return drive_in(ask_at_length("fail\n" + device));
}

Result<Engine::Replaced> Holder::drain_device(const std::string& device, bool stop) const {
    return drive_in(ask_at_length((stop ? "drain stop\n" : "drain\n") + device));
}

Result<Engine::Replaced> Holder::remove_device(const std::string& device) const {
    return drive_in(ask_at_length("remove\n" + device));
}

Result<Engine::Replaced> Holder::drive_in(const Result<std::string>& answer) const {
    if (!answer) return fail(answer.error());
    constexpr std::size_t kRole = 4;  // "qlc " or "scm "
    const auto index = parse_number(answer->substr(std::min(kRole, answer->size())));
    if (!index) return fail(error_in(""));
    return Engine::Replaced{answer->starts_with("scm ") ? Role::scm : Role::qlc,
                            static_cast<std::uint32_t>(*index)};
}

Status Holder::start_scrub(std::uint64_t bytes_per_second) const {
    QS_TRY(ask(fmt::format("scrub start {}", bytes_per_second), Takes::moments));
    return {};
}

Status Holder::stop_scrub() const {
    QS_TRY(ask("scrub stop", Takes::moments));
    return {};
}

Status Holder::delete_volume(const std::string& name) const {
    QS_TRY(ask_at_length(fmt::format("delete {}", name)));
    return {};
}

}  // namespace qlcshape
