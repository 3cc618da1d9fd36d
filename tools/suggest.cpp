// SPDX-License-Identifier: Apache-2.0
#include "tools/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace qlcshape::tools {

namespace {

constexpr std::size_t kMostMistakes = 2;

// Option groups are nameless subcommands.
std::vector<const CLI::App*> verbs_of(const CLI::App& place) {
    return place.get_subcommands([](const CLI::App* verb) { return !verb->get_name().empty(); });
}

// How many characters must be changed, added or left out to get from one to the other.
std::size_t mistakes_between(const std::string& a, const std::string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

}  // namespace

const CLI::App* verb_named(const CLI::App& place, const std::string& name) {
    const auto verbs = verbs_of(place);
    const auto found = std::ranges::find(verbs, name, &CLI::App::get_name);
    return found == verbs.end() ? nullptr : *found;
}

std::string unknown_verb(const CLI::App& app, const std::vector<std::string>& words) {
    const CLI::App* place = &app;
    std::string before;
    for (const std::string& word : words) {
        const auto verbs = verbs_of(*place);
        if (verbs.empty() || word.starts_with('-')) return {};
        if (const CLI::App* verb = verb_named(*place, word); verb != nullptr) {
            place = verb;
            before += word + " ";
            continue;
        }
        std::string near;
        std::size_t least = kMostMistakes + 1;
        for (const CLI::App* verb : verbs) {
            const std::string& name = verb->get_name();
            const bool begun = word.size() > 1 && name.starts_with(word);
            const std::size_t mistakes = begun ? 1 : mistakes_between(word, name);
            // As many mistakes as letters would make a verb of anything.
            if (mistakes >= least || mistakes >= name.size() - 1) continue;
            least = mistakes;
            near = name;
        }
        const std::string help = fmt::format("`qlcshape {}--help` lists them", before);
        return fmt::format("{}{}: no such verb, {}", before, word,
                           near.empty() ? help : fmt::format("did you mean {}{}?", before, near));
    }
    return {};
}

}  // namespace qlcshape::tools
