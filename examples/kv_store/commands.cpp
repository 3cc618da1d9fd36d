// SPDX-License-Identifier: Apache-2.0
#include "kv_store/commands.h"

#include <strings.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

namespace kv_store {

using qlcshape::Errc;
using qlcshape::Error;
using qlcshape::Result;

namespace {

// With `kMaxValueBytes` this bounds one reply.
constexpr std::size_t kMaxKeysAtOnce = 128;

bool same_word(const std::string& a, const char* b) { return strcasecmp(a.c_str(), b) == 0; }

std::string reply_of(const Error& error) {
    return resp::error((error.code == Errc::no_space ? "OOM " : "ERR ") + error.message);
}

std::string value_reply(Protocol protocol, const Answer& answer) {
    return answer.found ? resp::bulk(answer.value) : resp::nil(protocol);
}

// What is wrong with a key or a value, or nothing.
std::string too_long(const std::string& key, const std::string& value = {}) {
    if (key.size() > kMaxKeyBytes) {
        return resp::error("ERR a key has at most " + std::to_string(kMaxKeyBytes) + " bytes");
    }
    if (value.size() > kMaxValueBytes) {
        return resp::error("ERR a value has at most " + std::to_string(kMaxValueBytes) + " bytes");
    }
    return {};
}

// Gives the reply when the last of several tasks has ended.
struct Gathering {
    std::vector<Answer> answers;
    std::optional<Error> failure;
    std::function<void(const Gathering&)> then;

    ~Gathering() { then(*this); }
};

}  // namespace

const Commands::Entry Commands::kTable[] = {
    {"get", 2, 2, &Commands::get},
    {"set", 3, kMaxArguments, &Commands::set},
    {"mget", 2, 1 + kMaxKeysAtOnce, &Commands::mget},
    {"mset", 3, 1 + 2 * kMaxKeysAtOnce, &Commands::mset},
    {"del", 2, 1 + kMaxKeysAtOnce, &Commands::del},
    {"exists", 2, 1 + kMaxKeysAtOnce, &Commands::exists},
    {"dbsize", 1, 1, &Commands::dbsize},
    {"scan", 2, 6, &Commands::scan},
    {"info", 1, kMaxArguments, &Commands::info},
    {"ping", 1, 2, &Commands::ping},
    {"echo", 2, 2, &Commands::echo},
    {"config", 3, 3, &Commands::config},
    {"command", 1, kMaxArguments, &Commands::command},
    {"select", 2, 2, &Commands::select},
    {"hello", 1, kMaxArguments, &Commands::hello},
    {"auth", 2, 3, &Commands::auth},
    {"client", 2, kMaxArguments, &Commands::client},
    {"reset", 1, 1, &Commands::reset},
};

// As Redis words it: clients tell by the beginning that the command isn't there.
static std::string unknown(const std::vector<std::string>& arguments) {
    std::string text =
        "ERR unknown command '" + arguments[0].substr(0, 128) + "', with args beginning with: ";
    for (std::size_t i = 1; i < arguments.size() && text.size() < 300; ++i) {
        text += "'" + arguments[i].substr(0, 128) + "' ";
    }
    return resp::error(text);
}

void Commands::run(Arguments arguments, Session& session, Give give) {
    const auto entry = std::ranges::find_if(
        kTable, [&](const Entry& e) { return same_word(arguments[0], e.name); });
    if (entry == std::end(kTable)) return give(unknown(arguments));
    if (arguments.size() < entry->least || arguments.size() > entry->most) {
        std::string text =
            "ERR wrong number of arguments for '" + std::string(entry->name) + "' command";
        if (arguments.size() > entry->most) {
            text += ": at most " + std::to_string(entry->most - 1);
        }
        return give(resp::error(text));
    }
    (this->*entry->run)(std::move(arguments), session, std::move(give));
}

void Commands::get(Arguments arguments, Session& session, Give give) {
    if (std::string wrong = too_long(arguments[1]); !wrong.empty()) return give(wrong);
    store_.submit({.kind = Task::Kind::get,
                   .key = std::move(arguments[1]),
                   .value = {},
                   .done = [give, protocol = session.protocol](Result<Answer> answer) {
                       give(answer ? value_reply(protocol, *answer) : reply_of(answer.error()));
                   }});
}

void Commands::set(Arguments arguments, Session&, Give give) {
    if (arguments.size() > 3) {
        return give(
            resp::error("ERR syntax error: SET takes a key and a value; NX, XX, GET and "
                        "times to live are not supported"));
    }
    if (std::string wrong = too_long(arguments[1], arguments[2]); !wrong.empty()) {
        return give(wrong);
    }
    store_.submit({.kind = Task::Kind::set,
                   .key = std::move(arguments[1]),
                   .value = std::move(arguments[2]),
                   .done = [give](Result<Answer> answer) {
                       give(answer ? resp::simple("OK") : reply_of(answer.error()));
                   }});
}

// Each key is set for itself: a crash may leave some set and others not.
void Commands::mset(Arguments arguments, Session&, Give give) {
    if (arguments.size() % 2 == 0) {
        return give(
            resp::error("ERR wrong number of arguments for 'mset' command: a key has no value"));
    }
    for (std::size_t i = 1; i < arguments.size(); i += 2) {
        if (std::string wrong = too_long(arguments[i], arguments[i + 1]); !wrong.empty()) {
            return give(wrong);
        }
    }
    auto all = std::make_shared<Gathering>();
    all->then = [give](const Gathering& done) {
        give(done.failure ? reply_of(*done.failure) : resp::simple("OK"));
    };
    for (std::size_t i = 1; i < arguments.size(); i += 2) {
        store_.submit({.kind = Task::Kind::set,
                       .key = std::move(arguments[i]),
                       .value = std::move(arguments[i + 1]),
                       .done = [all](Result<Answer> answer) {
                           if (!answer) all->failure = answer.error();
                       }});
    }
}

void Commands::mget(Arguments arguments, Session& session, Give give) {
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        if (std::string wrong = too_long(arguments[i]); !wrong.empty()) return give(wrong);
    }
    auto all = std::make_shared<Gathering>();
    all->answers.resize(arguments.size() - 1);
    all->then = [give, protocol = session.protocol](const Gathering& done) {
        if (done.failure) return give(reply_of(*done.failure));
        std::string reply = resp::array(done.answers.size());
        for (const Answer& answer : done.answers) reply += value_reply(protocol, answer);
        give(std::move(reply));
    };
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        store_.submit({.kind = Task::Kind::get,
                       .key = std::move(arguments[i]),
                       .value = {},
                       .done = [all, i](Result<Answer> answer) {
                           if (answer) {
                               all->answers[i - 1] = std::move(*answer);
                           } else {
                               all->failure = answer.error();
                           }
                       }});
    }
}

void Commands::count_found(Task::Kind kind, Arguments arguments, Give give) {
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        if (std::string wrong = too_long(arguments[i]); !wrong.empty()) return give(wrong);
    }
    auto all = std::make_shared<Gathering>();
    all->then = [give](const Gathering& done) {
        if (done.failure) return give(reply_of(*done.failure));
        give(resp::integer(std::ranges::count_if(done.answers, &Answer::found)));
    };
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        store_.submit({.kind = kind,
                       .key = std::move(arguments[i]),
                       .value = {},
                       .done = [all](Result<Answer> answer) {
                           if (answer) {
                               all->answers.push_back(std::move(*answer));
                           } else {
                               all->failure = answer.error();
                           }
                       }});
    }
}

void Commands::del(Arguments arguments, Session&, Give give) {
    count_found(Task::Kind::remove, std::move(arguments), std::move(give));
}

void Commands::exists(Arguments arguments, Session&, Give give) {
    count_found(Task::Kind::exists, std::move(arguments), std::move(give));
}

}  // namespace kv_store
