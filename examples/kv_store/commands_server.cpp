// SPDX-License-Identifier: Apache-2.0
// Commands that clients send to learn whom they speak to.
#include <strings.h>
#include <unistd.h>

#include <sstream>
#include <utility>

#include "kv_store/commands.h"

namespace kv_store {

void Commands::dbsize(Arguments, Session&, Give give) {
    give(resp::integer(static_cast<std::int64_t>(store_.keys())));
}

void Commands::info(Arguments, Session& session, Give give) {
    const qlcshape::Stats stats = engine_.stats();
    std::ostringstream text;
    text << "# Server\r\nredis_version:" << kSpokenVersion << "\r\nprocess_id:" << getpid()
         << "\r\n"
         << "# Clients\r\nconnected_clients:" << sessions_.size() << "\r\n"
         << "# Keyspace\r\ndb0:keys=" << store_.keys() << ",expires=0,avg_ttl=0\r\n"
         << "# Store\r\nbuckets:" << store_.buckets() << "\r\n"
         << "free_extent_bytes:" << store_.free_bytes() << "\r\n"
         << "# Array\r\narray_name:" << stats.array_name << "\r\n"
         << "array_state:" << stats.state << "\r\n"
         << "array_health:" << stats.health << "\r\n"
         << "user_written_bytes:" << stats.bytes.user_written << "\r\n"
         << "waf_data:" << stats.waf_data << "\r\nwaf_total:" << stats.waf_total << "\r\n";
    give(resp::text(session.protocol, text.str()));
}

void Commands::ping(Arguments arguments, Session&, Give give) {
    give(arguments.size() > 1 ? resp::bulk(arguments[1]) : resp::simple("PONG"));
}

void Commands::echo(Arguments arguments, Session&, Give give) { give(resp::bulk(arguments[1])); }

// There is nothing to configure. What redis-benchmark asks for has its answer.
void Commands::config(Arguments arguments, Session& session, Give give) {
    if (strcasecmp(arguments[1].c_str(), "get") != 0) {
        return give(resp::error("ERR only CONFIG GET is supported"));
    }
    const std::string& name = arguments[2];
    const char* value = name == "save" ? "" : name == "appendonly" ? "yes" : nullptr;
    if (!value) return give(resp::map(session.protocol, 0));
    give(resp::map(session.protocol, 1) + resp::bulk(name) + resp::bulk(value));
}

// No documentation of commands is kept; clients do without.
void Commands::command(Arguments arguments, Session& session, Give give) {
    const bool docs = arguments.size() > 1 && strcasecmp(arguments[1].c_str(), "docs") == 0;
    give(docs ? resp::map(session.protocol, 0) : resp::array(0));
}

void Commands::select(Arguments arguments, Session&, Give give) {
    give(arguments[1] == "0" ? resp::simple("OK")
                             : resp::error("ERR DB index is out of range: there is only 0"));
}

}  // namespace kv_store
