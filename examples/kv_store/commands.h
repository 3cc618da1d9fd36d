// The commands of Redis that the store knows, as tasks of the store.
#pragma once

#include <qlcshape/engine.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kv_store/resp.h"
#include "kv_store/store.h"

namespace kv_store {

// The answer to one command; `give` is called once, at once or later, on the loop's thread.
using Give = std::function<void(std::string reply)>;

class Commands {
  public:
    Commands(Store& store, const qlcshape::Engine& engine) : store_(store), engine_(engine) {}

    void run(std::vector<std::string> arguments, Give give);

  private:
    using Arguments = std::vector<std::string>;
    struct Entry {
        const char* name;
        std::size_t least, most;  // arguments, with the name
        void (Commands::*run)(Arguments, Give);
    };
    static const Entry kTable[];

    void get(Arguments arguments, Give give);
    void set(Arguments arguments, Give give);
    void mget(Arguments arguments, Give give);
    void mset(Arguments arguments, Give give);
    void del(Arguments arguments, Give give);
    void exists(Arguments arguments, Give give);
    void dbsize(Arguments arguments, Give give);
    void scan(Arguments arguments, Give give);
    void info(Arguments arguments, Give give);
    void ping(Arguments arguments, Give give);
    void echo(Arguments arguments, Give give);
    void config(Arguments arguments, Give give);
    void command(Arguments arguments, Give give);
    void select(Arguments arguments, Give give);

    void count_found(Task::Kind kind, Arguments arguments, Give give);

    Store& store_;
    const qlcshape::Engine& engine_;
};

}  // namespace kv_store
