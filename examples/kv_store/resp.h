// RESP2, the protocol of Redis: commands in, replies out. Pure text, no sockets.
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

struct Command {
    std::vector<std::string> arguments;  // at least one: its name
    std::size_t bytes = 0;               // as they were on the wire
};

// Takes bytes as they come and gives whole commands.
class RespParser {
  public:
    void feed(std::string_view bytes);
    // No command: more bytes are needed. An error is the text of a protocol error; nothing more can
    // be read after it.
    std::expected<std::optional<Command>, std::string> next();

  private:
    enum class Line { whole, part, bad };
    Line read_number(char mark, std::size_t& at, std::uint64_t& number) const;

    std::string buffer_;
    std::size_t begin_ = 0;  // of what is not parsed yet
};

namespace resp {
std::string simple(std::string_view text);
std::string error(std::string_view text);  // "ERR ..."
std::string integer(std::int64_t number);
std::string bulk(std::string_view bytes);
std::string nil();
std::string array(std::size_t items);  // the items follow
}  // namespace resp

}  // namespace kv_store
