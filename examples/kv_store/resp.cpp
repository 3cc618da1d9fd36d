#include "kv_store/resp.h"

#include <algorithm>
#include <charconv>

namespace kv_store {

namespace {

// "*12\r\n": a mark and at most this many digits.
constexpr std::size_t kMaxDigits = 10;

std::string line(char mark, std::string_view text) {
    std::string out(1, mark);
    return out.append(text).append("\r\n");
}

}  // namespace

void RespParser::feed(std::string_view bytes) {
    buffer_.erase(0, begin_);
    begin_ = 0;
    buffer_.append(bytes);
}

RespParser::Line RespParser::read_number(char mark, std::size_t& at, std::uint64_t& number) const {
    if (at >= buffer_.size()) return Line::part;
    if (buffer_[at] != mark) return Line::bad;
    const std::size_t end = buffer_.find("\r\n", at);
    if (end == std::string::npos) {
        return buffer_.size() - at > kMaxDigits + 2 ? Line::bad : Line::part;
    }
    if (end - at > kMaxDigits + 1) return Line::bad;
    const char* first = buffer_.data() + at + 1;
    const char* last = buffer_.data() + end;
    const auto [stopped, failure] = std::from_chars(first, last, number);
    if (failure != std::errc() || stopped != last) return Line::bad;
    at = end + 2;
    return Line::whole;
}

std::expected<std::optional<Command>, std::string> RespParser::next() {
    std::size_t at = begin_;
    std::uint64_t count = 0;
    Line line = read_number('*', at, count);
    if (line == Line::part) return std::nullopt;
    if (line == Line::bad || count == 0 || count > kMaxArguments) {
        return std::unexpected("Protocol error: expected '*' and 1 to " +
                               std::to_string(kMaxArguments));
    }
    Command command;
    for (std::uint64_t i = 0; i < count; ++i) {
        std::uint64_t bytes = 0;
        line = read_number('$', at, bytes);
        if (line == Line::part) return std::nullopt;
        if (line == Line::bad) return std::unexpected("Protocol error: expected '$' and a length");
        if (bytes > kMaxCommandBytes || at - begin_ + bytes > kMaxCommandBytes) {
            return std::unexpected("Protocol error: a command has at most " +
                                   std::to_string(kMaxCommandBytes) + " bytes");
        }
        if (buffer_.size() - at < bytes + 2) return std::nullopt;
        if (buffer_.compare(at + bytes, 2, "\r\n") != 0) {
            return std::unexpected("Protocol error: an argument without its end");
        }
        command.arguments.emplace_back(buffer_, at, bytes);
        at += bytes + 2;
    }
    command.bytes = at - begin_;
    begin_ = at;
    return command;
}

namespace resp {

std::string simple(std::string_view text) { return line('+', text); }

std::string error(std::string_view text) {
    std::string one_line(text);
    std::ranges::replace_if(
        one_line, [](char c) { return c == '\r' || c == '\n'; }, ' ');
    return line('-', one_line);
}

std::string integer(std::int64_t number) { return line(':', std::to_string(number)); }

std::string bulk(std::string_view bytes) {
    return line('$', std::to_string(bytes.size())).append(bytes).append("\r\n");
}

std::string nil() { return "$-1\r\n"; }

std::string array(std::size_t items) { return line('*', std::to_string(items)); }

}  // namespace resp

}  // namespace kv_store
