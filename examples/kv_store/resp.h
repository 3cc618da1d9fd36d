// SPDX-License-Identifier: Apache-2.0
// The protocol of Redis: commands in, as RESP or inline, and replies out, as RESP2 or RESP3. Pure
// text, no sockets.
#pragma once

#include <qlcshape/error.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kv_store {

// A longer command ends the connection.
inline constexpr std::size_t kMaxCommandBytes = 4 << 20;
inline constexpr std::size_t kMaxArguments = 4096;
inline constexpr std::size_t kMaxInlineBytes = 64 << 10;

struct Command {
    std::vector<std::string> arguments;  // at least one: its name
    std::size_t bytes = 0;               // as they were on the wire
};

// Takes bytes as they come and gives whole commands. What was parsed of a command stays parsed, so
// the work is proportional to the bytes, however they are cut.
class RespParser {
  public:
    void feed(std::string_view bytes);
    // No command: more bytes are needed. An error is the text of a protocol error; nothing more can
    // be read after it.
    std::expected<std::optional<Command>, std::string> next();

  private:
    using Progress = std::expected<bool, std::string>;  // false: more bytes are needed

    std::string_view rest() const { return std::string_view(buffer_).substr(begin_); }
    void consume(std::size_t bytes);
    // A line "<mark><number>\r\n" at the beginning of the rest; its length, 0 if it isn't all
    // there.
    std::expected<std::size_t, std::string> read_number(std::int64_t& number,
                                                        const char* wrong) const;
    Progress begin_command();
    Progress read_argument();
    Progress read_inline();

    std::string buffer_;
    std::size_t begin_ = 0;  // of what is not parsed yet
    Command command_;        // what is known of it
    std::size_t missing_arguments_ = 0;
};

// The protocol that a client chose by HELLO.
enum class Protocol { resp2 = 2, resp3 = 3 };

namespace resp {
std::string simple(std::string_view text);
std::string error(std::string_view text);  // "ERR ..."
std::string integer(std::int64_t number);
std::string bulk(std::string_view bytes);
std::string text(Protocol protocol, std::string_view bytes);  // for people to read
std::string nil(Protocol protocol);
std::string array(std::size_t items);                     // the items follow
std::string map(Protocol protocol, std::size_t entries);  // keys and values follow in turn
}  // namespace resp

}  // namespace kv_store
