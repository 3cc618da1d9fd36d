// SPDX-License-Identifier: Apache-2.0
// The commands of Redis that the store knows, as tasks of the store.
#pragma once

#include <qlcshape/engine.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kv_store/resp.h"
#include "kv_store/session.h"
#include "kv_store/store.h"

namespace kv_store {

// The answer to one command; `give` is called once, at once or later, on the loop's thread.
using Give = std::function<void(std::string reply)>;

class Commands {
  public:
    Commands(Store& store, const qlcshape::Engine& engine) : store_(store), engine_(engine) {}

    // A client's session stays where it is until it is ended.
    void begin_session(Session& session);
    void end_session(const Session& session) { sessions_.erase(session.id); }

    void run(std::vector<std::string> arguments, Session& session, Give give);

  private:
    using Arguments = std::vector<std::string>;
    struct Entry {
        const char* name;
        std::size_t least, most;  // arguments, with the name
        void (Commands::*run)(Arguments, Session&, Give);
    };
    static const Entry kTable[];

    void get(Arguments arguments, Session& session, Give give);
    void set(Arguments arguments, Session& session, Give give);
    void mget(Arguments arguments, Session& session, Give give);
    void mset(Arguments arguments, Session& session, Give give);
    void del(Arguments arguments, Session& session, Give give);
    void exists(Arguments arguments, Session& session, Give give);
    void dbsize(Arguments arguments, Session& session, Give give);
    void scan(Arguments arguments, Session& session, Give give);
    void info(Arguments arguments, Session& session, Give give);
    void ping(Arguments arguments, Session& session, Give give);
    void echo(Arguments arguments, Session& session, Give give);
    void config(Arguments arguments, Session& session, Give give);
    void command(Arguments arguments, Session& session, Give give);
    void select(Arguments arguments, Session& session, Give give);
    void hello(Arguments arguments, Session& session, Give give);
    void auth(Arguments arguments, Session& session, Give give);
    void client(Arguments arguments, Session& session, Give give);
    void reset(Arguments arguments, Session& session, Give give);

    void count_found(Task::Kind kind, Arguments arguments, Give give);

    Store& store_;
    const qlcshape::Engine& engine_;
    std::uint64_t last_session_ = 0;
    std::map<std::uint64_t, const Session*> sessions_;
};

}  // namespace kv_store
