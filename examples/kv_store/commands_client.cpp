// SPDX-License-Identifier: Apache-2.0
// What a client says of itself and asks of its connection.
#include <strings.h>

#include <algorithm>
#include <utility>

#include "kv_store/commands.h"

namespace kv_store {

namespace {

bool is(const std::string& word, const char* wanted) {
    return strcasecmp(word.c_str(), wanted) == 0;
}

// CLIENT LIST has one line of words for each client.
bool fits_in_a_list(const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

// There are no passwords; as in a Redis without any, the user "default" is let in with each.
bool may_enter(const std::string& user) { return user == "default"; }

const char kNoSuchUser[] = "WRONGPASS invalid username-password pair or user is disabled.";
const char kBadName[] = "ERR Client names cannot contain spaces, newlines or special characters.";

std::string describe(const Session& session) {
    return "id=" + std::to_string(session.id) + " name=" + session.name +
           " db=0 resp=" + std::to_string(static_cast<int>(session.protocol)) +
           " lib-name=" + session.library + " lib-ver=" + session.library_version + "\n";
}

}  // namespace

void Commands::begin_session(Session& session) {
    session.id = ++last_session_;
    sessions_[session.id] = &session;
}

// HELLO [version [AUTH user password] [SETNAME name]]. Nothing changes unless all of it is right.
void Commands::hello(Arguments arguments, Session& session, Give give) {
    Session wanted = session;
    if (arguments.size() > 1) {
        if (arguments[1] != "2" && arguments[1] != "3") {
            return give(resp::error("NOPROTO unsupported protocol version"));
        }
        wanted.protocol = arguments[1] == "2" ? Protocol::resp2 : Protocol::resp3;
    }
    for (std::size_t i = 2; i < arguments.size();) {
        if (is(arguments[i], "auth") && i + 2 < arguments.size()) {
            if (!may_enter(arguments[i + 1])) return give(resp::error(kNoSuchUser));
            i += 3;
        } else if (is(arguments[i], "setname") && i + 1 < arguments.size()) {
            if (!fits_in_a_list(arguments[i + 1])) return give(resp::error(kBadName));
            wanted.name = arguments[i + 1];
            i += 2;
        } else {
            return give(resp::error("ERR Syntax error in HELLO option '" +
                                    arguments[i].substr(0, 64) + "'"));
        }
    }
    session = std::move(wanted);
    give(resp::map(session.protocol, 7) +                                           //
         resp::bulk("server") + resp::bulk("kv_store") +                            //
         resp::bulk("version") + resp::bulk(kSpokenVersion) +                       //
         resp::bulk("proto") + resp::integer(static_cast<int>(session.protocol)) +  //
         resp::bulk("id") + resp::integer(static_cast<std::int64_t>(session.id)) +  //
         resp::bulk("mode") + resp::bulk("standalone") +                            //
         resp::bulk("role") + resp::bulk("master") +                                //
         resp::bulk("modules") + resp::array(0));
}

void Commands::auth(Arguments arguments, Session&, Give give) {
    if (arguments.size() == 2) {
        return give(
            resp::error("ERR AUTH <password> called without any password configured for the "
                        "default user. Are you sure your configuration is correct?"));
    }
    give(may_enter(arguments[1]) ? resp::simple("OK") : resp::error(kNoSuchUser));
}

void Commands::client(Arguments arguments, Session& session, Give give) {
    const std::string& verb = arguments[1];
    const std::size_t operands = arguments.size() - 2;
    if (is(verb, "id") && operands == 0) {
        return give(resp::integer(static_cast<std::int64_t>(session.id)));
    }
    if (is(verb, "getname") && operands == 0) {
        return give(session.name.empty() ? resp::nil(session.protocol) : resp::bulk(session.name));
    }
    if (is(verb, "setname") && operands == 1) {
        if (!fits_in_a_list(arguments[2])) return give(resp::error(kBadName));
        session.name = arguments[2];
        return give(resp::simple("OK"));
    }
    if (is(verb, "setinfo") && operands == 2) {
        const bool version = is(arguments[2], "lib-ver");
        if (!version && !is(arguments[2], "lib-name")) {
            return give(
                resp::error("ERR Unrecognized option '" + arguments[2].substr(0, 64) + "'"));
        }
        if (!fits_in_a_list(arguments[3])) {
            return give(resp::error("ERR " + std::string(version ? "lib-ver" : "lib-name") +
                                    " cannot contain spaces, newlines or special characters."));
        }
        (version ? session.library_version : session.library) = arguments[3];
        return give(resp::simple("OK"));
    }
    if (is(verb, "info") && operands == 0)
        return give(resp::text(session.protocol, describe(session)));
    if (is(verb, "list") && operands == 0) {
        std::string all;
        for (const auto& [id, one] : sessions_) all += describe(*one);
        return give(resp::text(session.protocol, all));
    }
    give(resp::error("ERR unknown subcommand or wrong number of arguments for '" +
                     verb.substr(0, 64) +
                     "': CLIENT takes ID, GETNAME, SETNAME, SETINFO, INFO and LIST"));
}

void Commands::reset(Arguments, Session& session, Give give) {
    const std::uint64_t id = session.id;
    session = {};
    session.id = id;
    give(resp::simple("RESET"));
}

}  // namespace kv_store
