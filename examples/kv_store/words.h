// SPDX-License-Identifier: Apache-2.0
// Text as Redis reads it: an inline command's words, and the patterns of SCAN.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kv_store {

// Words apart by white space. "..." may hold white space and the escapes \n \r \t \b \a \xHH \" \\;
// '...' holds what it says, with \' for a quote. Nothing if a quote is not closed, or is closed in
// the middle of a word.
std::optional<std::vector<std::string>> split_words(std::string_view line);

// Whether all of `text` fits `pattern`: * ? [abc] [a-z] [^abc] and \ before a character that is
// meant as it is. Takes no more than pattern times text steps, whatever a client asks for.
bool fits(std::string_view pattern, std::string_view text);

}  // namespace kv_store
