// SPDX-License-Identifier: Apache-2.0
#include "kv_store/words.h"

#include <charconv>
#include <tuple>
#include <utility>

namespace kv_store {

namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

char unescaped(char c) {
    switch (c) {
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case 'b':
            return '\b';
        case 'a':
            return '\a';
        default:
            return c;
    }
}

// Takes one character, escaped or not, of a word in double quotes.
char take_double_quoted(std::string_view& line) {
    if (line.starts_with("\\x") && line.size() >= 4) {
        unsigned char byte = 0;
        const char* last = line.data() + 4;
        if (std::from_chars(line.data() + 2, last, byte, 16).ptr == last) {
            line.remove_prefix(4);
            return static_cast<char>(byte);
        }
    }
    const bool escaped = line[0] == '\\' && line.size() >= 2;
    const char c = escaped ? unescaped(line[1]) : line[0];
    line.remove_prefix(escaped ? 2 : 1);
    return c;
}

// Takes a quoted word up to its closing quote, which the end of the line or white space must
// follow.
bool take_quoted(std::string_view& line, std::string& word) {
    const char quote = line[0];
    line.remove_prefix(1);
    while (!line.empty() && line[0] != quote) {
        if (quote == '"') {
            word += take_double_quoted(line);
            continue;
        }
        if (line.starts_with("\\'")) line.remove_prefix(1);
        word += line[0];
        line.remove_prefix(1);
    }
    if (line.empty()) return false;
    line.remove_prefix(1);
    return line.empty() || is_space(line[0]);
}

// Whether `c` is in the set that `pattern` begins with, which is taken off it. A set that is not
// closed goes to the pattern's end.
bool take_set(std::string_view& pattern, char c) {
    const auto take = [&] {
        if (pattern[0] == '\\' && pattern.size() >= 2) pattern.remove_prefix(1);
        const auto taken = static_cast<unsigned char>(pattern[0]);
        pattern.remove_prefix(1);
        return taken;
    };
    pattern.remove_prefix(1);
    const bool negated = pattern.starts_with('^');
    if (negated) pattern.remove_prefix(1);
    const auto wanted = static_cast<unsigned char>(c);
    bool found = false;
    while (!pattern.empty() && pattern[0] != ']') {
        unsigned char first = take(), last = first;
        if (pattern.size() >= 2 && pattern[0] == '-' && pattern[1] != ']') {
            pattern.remove_prefix(1);
            last = take();
        }
        if (first > last) std::swap(first, last);
        found = found || (wanted >= first && wanted <= last);
    }
    if (!pattern.empty()) pattern.remove_prefix(1);
    return found != negated;
}

// Whether `c` fits the first item of the pattern, which is no star; takes the item off.
bool take_item(std::string_view& pattern, char c) {
    if (pattern[0] == '[') return take_set(pattern, c);
    const bool any = pattern[0] == '?';
    if (pattern[0] == '\\' && pattern.size() >= 2) pattern.remove_prefix(1);
    const bool same = pattern[0] == c;
    pattern.remove_prefix(1);
    return any || same;
}

}  // namespace

std::optional<std::vector<std::string>> split_words(std::string_view line) {
    std::vector<std::string> words;
    for (;;) {
        while (!line.empty() && is_space(line[0])) line.remove_prefix(1);
        if (line.empty()) return words;
        std::string word;
        while (!line.empty() && !is_space(line[0])) {
            if (line[0] == '"' || line[0] == '\'') {
                if (!take_quoted(line, word)) return std::nullopt;
            } else {
                word += line[0];
                line.remove_prefix(1);
            }
        }
        words.push_back(std::move(word));
    }
}

bool fits(std::string_view pattern, std::string_view text) {
    // Only the last star met need be tried with more characters: what fits before it stays.
    std::optional<std::pair<std::string_view, std::string_view>> star;
    while (!text.empty() || !pattern.empty()) {
        if (pattern.starts_with('*')) {
            pattern.remove_prefix(1);
            star.emplace(pattern, text);
            continue;
        }
        if (!pattern.empty() && !text.empty() && take_item(pattern, text[0])) {
            text.remove_prefix(1);
            continue;
        }
        if (!star || star->second.empty()) return false;
        star->second.remove_prefix(1);
        std::tie(pattern, text) = *star;
    }
    return true;
}

}  // namespace kv_store
