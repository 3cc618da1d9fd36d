#include "engine/holder.h"

#include <charconv>

#include "engine/control_socket.h"
#include "engine/format_array.h"
#include "engine/stats_json.h"
#include "recovery/superblock_store.h"

namespace qlcshape {

namespace {

constexpr std::size_t kMostAnswerBytes = 16 << 20;
constexpr int kPatience = 5;
constexpr std::string_view kDone = "done\n";

Error error_in(const std::string& answer) {
    int code = 0;
    const char* const end = answer.data() + answer.size();
    const auto [rest, failed] = std::from_chars(answer.data(), end, code);
    if (failed != std::errc{} || rest == end) {
        return {Errc::io_error,
                "the process that has the array open ended before it answered; what it was asked "
                "may be done or not"};
    }
    return {static_cast<Errc>(code), std::string(rest + 1, end)};
}

}  // namespace

Result<Holder> Holder::of(const Options& options) {
    IoQueue queue;
    std::string absent;
    auto devices = open_devices(options, Access::inspect, false, &absent);
    if (!devices) return fail(devices.error());
    const auto found = discover(std::move(*devices), absent, queue);
    if (!found) return fail(found.error());
    return of(found->superblock.array.to_string());
}

Result<Holder> Holder::of(const std::string& array_uuid) {
    const auto socket = connect_to(array_uuid);
    if (!socket) return fail(socket.error());
    return Holder(array_uuid);
}

Result<std::string> Holder::ask(const std::string& request, int patience) const {
    const auto socket = connect_to(array_uuid_);
    if (!socket) return fail(Errc::closed, "the process that had the array open has ended");
    socket->set_timeout(patience);
    if (!socket->send(request)) return fail(error_in(""));
    auto answer = socket->receive(kMostAnswerBytes);
    if (!answer) {
        return fail(answer.error().code, "the process that has the array open does not answer: {}",
                    answer.error().message);
    }
    if (!answer->starts_with(kDone)) return fail(error_in(*answer));
    return answer->substr(kDone.size());
}

Result<Stats> Holder::stats() const {
    const auto text = ask("stats", kPatience);
    if (!text) return fail(text.error());
    return stats_from_json(*text);
}

Status Holder::create_volume(const std::string& name, std::uint64_t bytes) const {
    QS_TRY(ask(fmt::format("create {} {}", name, bytes)));
    return {};
}

Result<bool> Holder::holds_data(const std::string& volume) const {
    const auto answer = ask(fmt::format("holds {}", volume));
    if (!answer) return fail(answer.error());
    return *answer == "yes";
}

Status Holder::resize_volume(const std::string& name, std::uint64_t bytes) const {
    QS_TRY(ask(fmt::format("resize {} {}", name, bytes)));
    return {};
}

Status Holder::delete_volume(const std::string& name) const {
    QS_TRY(ask(fmt::format("delete {}", name)));
    return {};
}

}  // namespace qlcshape
