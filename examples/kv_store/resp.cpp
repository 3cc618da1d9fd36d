// SPDX-License-Identifier: Apache-2.0
#include "kv_store/resp.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "kv_store/words.h"

namespace kv_store {

namespace {

// "*-12\r\n": a mark and at most this many bytes of a number.
constexpr std::size_t kMaxDigits = 11;
// A buffer that a large command left behind is given back.
constexpr std::size_t kMaxIdleBufferBytes = 128 << 10;

std::string line(char mark, std::string_view text) {
    std::string out(1, mark);
    return out.append(text).append("\r\n");
}

}  // namespace

void RespParser::feed(std::string_view bytes) {
    buffer_.erase(0, begin_);
    begin_ = 0;
    if (buffer_.empty() && buffer_.capacity() > kMaxIdleBufferBytes) buffer_ = {};
    buffer_.append(bytes);
}

void RespParser::consume(std::size_t bytes) {
    begin_ += bytes;
    command_.bytes += bytes;
}

std::expected<std::size_t, std::string> RespParser::read_number(std::int64_t& number,
                                                                const char* wrong) const {
    const std::string_view text = rest().substr(0, kMaxDigits + 3);
    const std::size_t end = text.find("\r\n");
    if (end == std::string_view::npos) {
        if (text.size() == kMaxDigits + 3) return std::unexpected(wrong);
        return 0;
    }
    const auto [stopped, failure] = std::from_chars(text.data() + 1, text.data() + end, number);
    if (failure != std::errc() || stopped != text.data() + end) return std::unexpected(wrong);
    return end + 2;
}

RespParser::Progress RespParser::begin_command() {
    std::int64_t count = 0;
    const auto bytes = read_number(count, "Protocol error: invalid multibulk length");
    if (!bytes) return std::unexpected(bytes.error());
    if (*bytes == 0) return false;
    if (count > static_cast<std::int64_t>(kMaxArguments)) {
        return std::unexpected("Protocol error: invalid multibulk length: at most " +
                               std::to_string(kMaxArguments) + " arguments");
    }
    consume(*bytes);
    missing_arguments_ = count > 0 ? static_cast<std::size_t>(count) : 0;
    return true;
}

RespParser::Progress RespParser::read_argument() {
    if (rest().empty()) return false;
    if (rest()[0] != '$') {
        return std::unexpected(std::string("Protocol error: expected '$', got '") + rest()[0] +
                               "'");
    }
    std::int64_t length = 0;
    const auto head = read_number(length, "Protocol error: invalid bulk length");
    if (!head) return std::unexpected(head.error());
    if (*head == 0) return false;
    if (length < 0) return std::unexpected("Protocol error: invalid bulk length");
    const auto bytes = static_cast<std::size_t>(length);
    if (bytes > kMaxCommandBytes || command_.bytes + bytes > kMaxCommandBytes) {
        return std::unexpected("Protocol error: invalid bulk length: a command has at most " +
                               std::to_string(kMaxCommandBytes) + " bytes");
    }
    if (rest().size() < *head + bytes + 2) return false;
    if (rest().substr(*head + bytes, 2) != "\r\n") {
        return std::unexpected("Protocol error: an argument is longer than its length says");
    }
    command_.arguments.emplace_back(rest().substr(*head, bytes));
    --missing_arguments_;
    consume(*head + bytes + 2);
    return true;
}

RespParser::Progress RespParser::read_inline() {
    const std::string_view text = rest().substr(0, kMaxInlineBytes);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
        if (text.size() == kMaxInlineBytes) {
            return std::unexpected("Protocol error: too big inline request");
        }
        return false;
    }
    auto words = split_words(text.substr(0, end));
    if (!words) return std::unexpected("Protocol error: unbalanced quotes in request");
    command_.arguments = std::move(*words);
    consume(end + 1);
    return true;
}

std::expected<std::optional<Command>, std::string> RespParser::next() {
    // Lines that name no command, "*0" and the empty one, are passed over as Redis does.
    while (command_.arguments.empty() || missing_arguments_ > 0) {
        if (rest().empty()) return std::nullopt;
        if (missing_arguments_ == 0) command_ = {};
        const Progress progress = missing_arguments_ > 0 ? read_argument()
                                  : rest()[0] == '*'     ? begin_command()
                                                         : read_inline();
        if (!progress) return std::unexpected(progress.error());
        if (!*progress) return std::nullopt;
    }
    return std::exchange(command_, {});
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

std::string text(Protocol protocol, std::string_view bytes) {
    if (protocol == Protocol::resp2) return bulk(bytes);
    return line('=', std::to_string(bytes.size() + 4)).append("txt:").append(bytes).append("\r\n");
}

std::string nil(Protocol protocol) { return protocol == Protocol::resp2 ? "$-1\r\n" : "_\r\n"; }

std::string array(std::size_t items) { return line('*', std::to_string(items)); }

std::string map(Protocol protocol, std::size_t entries) {
    return protocol == Protocol::resp2 ? array(2 * entries) : line('%', std::to_string(entries));
}

}  // namespace resp

}  // namespace kv_store
