// SPDX-License-Identifier: Apache-2.0
// Names come from array files, command lines and clients, and may hold anything. On a terminal or
// in a log, control characters among them would be obeyed, and a line break would begin a line that
// looks like one of ours.
#pragma once

#include <string>
#include <string_view>

namespace qlcshape {

enum class LineBreaks { quoted, kept };

// The text with control characters, and bytes that are not UTF-8, as "\x1b". What turns the
// direction of text counts as such.
std::string printable(std::string_view text, LineBreaks breaks = LineBreaks::quoted);

}  // namespace qlcshape
