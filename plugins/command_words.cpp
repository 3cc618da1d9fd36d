// SPDX-License-Identifier: Apache-2.0
#include "command_words.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string_view>

namespace qlcshape {

namespace {

// Of short options these take the rest of the word, or the next word, as their argument.
constexpr std::string_view kWithArgument = "DegipPtuU";

std::string absolute(const std::string& path) {
    std::error_code failed;
    const auto whole = std::filesystem::absolute(path, failed);
    return failed || path == "-" ? "" : whole.string();
}

// "--pidfile" may be shortened: every beginning that is no other option's.
bool is_long(std::string_view word, std::string_view option, std::size_t least) {
    return word.size() >= least && option.starts_with(word);
}

class Parser {
  public:
    Parser(int argc, const char* const* argv) : argc_(argc), argv_(argv) {}

    CommandWords parse() {
        for (at_ = 1; at_ < argc_; ++at_) {
            const std::string_view word = argv_[at_];
            if (word == "--") break;
            if (word.starts_with("--"))
                long_option(word);
            else if (word.starts_with('-'))
                short_options(word);
        }
        return words_;
    }

  private:
    void long_option(std::string_view word) {
        const std::size_t equals = word.find('=');
        const std::string_view name = word.substr(0, equals);
        words_.read_only |= is_long(name, "--readonly", 4) || is_long(name, "--read-only", 4);
        std::string* const into = is_long(name, "--pidfile", 4)    ? &words_.pid_file
                                  : is_long(name, "--pid-file", 4) ? &words_.pid_file
                                  : is_long(name, "--unix", 4)     ? &words_.socket
                                                                   : nullptr;
        if (into == nullptr) return;
        *into = absolute(equals == std::string_view::npos ? next()
                                                          : std::string(word.substr(equals + 1)));
    }

    void short_options(std::string_view word) {
        for (std::size_t i = 1; i < word.size(); ++i) {
            words_.read_only |= word[i] == 'r';
            if (!kWithArgument.contains(word[i])) continue;
            const std::string rest(word.substr(i + 1));
            if (word[i] == 'P') words_.pid_file = absolute(rest.empty() ? next() : rest);
            if (word[i] == 'U') words_.socket = absolute(rest.empty() ? next() : rest);
            return;
        }
    }

    std::string next() { return at_ + 1 < argc_ ? argv_[++at_] : ""; }

    const int argc_;
    const char* const* const argv_;
    int at_ = 1;
    CommandWords words_;
};

}  // namespace

CommandWords command_words(int argc, const char* const* argv) { return Parser(argc, argv).parse(); }

void remove_left_files(const CommandWords& words) {
    long pid = 0;
    if (std::ifstream(words.pid_file) >> pid && pid == ::getpid()) ::unlink(words.pid_file.c_str());
    struct stat status {};
    if (::stat(words.socket.c_str(), &status) == 0 && S_ISSOCK(status.st_mode))
        ::unlink(words.socket.c_str());
}

}  // namespace qlcshape
