// SPDX-License-Identifier: Apache-2.0
// The key-value example's server: clients on a Unix socket, the store on an array in memory.
#include <poll.h>
#include <qlcshape/engine.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "kv_store/commands.h"
#include "kv_store/listener.h"
#include "kv_store/server.h"
#include "kv_store/store.h"
#include "test_array.h"

using namespace qlcshape;
using namespace kv_store;

namespace {

// Far more than anything here takes.
constexpr int kHangMs = 60000;

std::string command(std::initializer_list<std::string> words) {
    std::string text = resp::array(words.size());
    for (const std::string& word : words) text += resp::bulk(word);
    return text;
}

class Client {
  public:
    explicit Client(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof(address.sun_path) - 1);
        REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    }
    ~Client() { close(fd_); }
    Client(const Client&) = delete;

    // Sends all of it, and takes replies meanwhile, as pipelining clients do.
    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const int ready = wait(POLLIN | POLLOUT);
            if ((ready & POLLIN) != 0 && !receive()) FAIL("the server closed the connection");
            if ((ready & POLLOUT) == 0) continue;
            const ssize_t sent =
                ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    // As much as the server takes while nothing is read.
    std::size_t send_unread(std::string_view bytes) {
        std::size_t sent = 0;
        pollfd ready{fd_, POLLOUT, 0};
        while (sent < bytes.size() && ::poll(&ready, 1, 200) == 1) {
            const ssize_t n =
                ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n > 0) sent += static_cast<std::size_t>(n);
        }
        return sent;
    }
    std::string read(std::size_t bytes) {
        while (got_.size() < bytes) {
            wait(POLLIN);
            if (!receive()) FAIL("closed after: " << got_);
        }
        std::string first = got_.substr(0, bytes);
        got_.erase(0, bytes);
        return first;
    }
    std::string read_all() {
        do wait(POLLIN);
        while (receive());
        return std::exchange(got_, {});
    }
    std::string ask(const std::string& bytes, std::size_t reply_bytes) {
        send(bytes);
        return read(reply_bytes);
    }
    void end() { shutdown(fd_, SHUT_WR); }

  private:
    int wait(int events) {
        pollfd ready{fd_, static_cast<short>(events), 0};
        if (::poll(&ready, 1, kHangMs) != 1) FAIL("no answer for a minute, after: " << got_.size());
        return ready.revents;
    }
    bool receive() {
        char bytes[65536];
        const ssize_t n = recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n > 0) got_.append(bytes, static_cast<std::size_t>(n));
        return n > 0 || (n < 0 && errno == EAGAIN);
    }

    int fd_;
    std::string got_;
};

struct Running {
    TestArray array{"kv_server"};
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Store> store;
    std::string path;
    int stop_fd = eventfd(0, EFD_CLOEXEC);
    std::unique_ptr<Commands> commands;
    std::unique_ptr<Server> server;
    std::thread loop;

    Running() {
        engine = *Engine::open(array.options);
        REQUIRE(engine->create_volume("v", 16 * MiB));
        store = *Store::open(*engine->open_volume("v"));
        path = std::filesystem::temp_directory_path() / ("kv_server_" + std::to_string(getpid()));
        const auto listener = listen_on_path(path);
        if (!listener) FAIL(listener.error().message);
        commands = std::make_unique<Commands>(*store, *engine);
        server = std::make_unique<Server>(*store, *commands, *listener, stop_fd);
        loop = std::thread([this] { server->run(); });
    }
    ~Running() {
        stop();
        server.reset();
        commands.reset();
        store.reset();
        close(stop_fd);
        unlink(path.c_str());
    }
    void stop() {
        if (!loop.joinable()) return;
        eventfd_write(stop_fd, 1);
        loop.join();
    }
};

}  // namespace

TEST_CASE("kv server: pipelines around every limit are answered to the end") {
    Running kv;
    Client client(kv.path);
    for (const int length :
         {1, 63, 64, 65, 127, 128, 129, 170, 171, 172, 511, 512, 513, 1025, 6000}) {
        INFO("a pipeline of " << length);
        std::string sets, gets, pings, oks, values, pongs;
        for (int i = 0; i < length; ++i) {
            const std::string value = "value " + std::to_string(i);
            sets += command({"SET", "key" + std::to_string(i), value});
            gets += command({"GET", "key" + std::to_string(i)});
            oks += "+OK\r\n";
            values += resp::bulk(value);
            // Answered at once, behind one that is not.
            pings += command({"PING"});
            pongs += "+PONG\r\n";
        }
        CHECK(client.ask(sets, oks.size()) == oks);
        CHECK(client.ask(gets, values.size()) == values);
        CHECK(client.ask(sets + pings, oks.size() + pongs.size()) == oks + pongs);
    }
}

TEST_CASE("kv server: pipelines of much data are answered to the end") {
    Running kv;
    Client client(kv.path);
    const std::string value(500000, 'v'), other(3000, 'o');
    std::string mset = resp::array(1 + 2 * 100) + resp::bulk("MSET");
    std::string mget = resp::array(1 + 100) + resp::bulk("MGET"), hundred = resp::array(100);
    for (int i = 0; i < 100; ++i) {
        mset += resp::bulk("m" + std::to_string(i)) + resp::bulk(other);
        mget += resp::bulk("m" + std::to_string(i));
        hundred += resp::bulk(other);
    }
    std::string wire, wanted;
    for (int i = 0; i < 12; ++i) {
        wire += command({"SET", "large", value}) + mset + command({"GET", "large"}) + mget;
        wanted += "+OK\r\n+OK\r\n" + resp::bulk(value) + hundred;
    }
    CHECK(client.ask(wire, wanted.size()) == wanted);
}

TEST_CASE("kv server: a client that does not read holds up nobody, and loses nothing") {
    Running kv;
    Client lazy(kv.path), other(kv.path);
    const std::string value(100000, 'v');
    CHECK(other.ask(command({"SET", "k", value}), 5) == "+OK\r\n");
    std::string gets;
    for (int i = 0; i < 100000; ++i) gets += command({"GET", "k"});
    const std::size_t sent = lazy.send_unread(gets);
    CHECK(sent < gets.size());
    CHECK(other.ask(command({"PING"}), 7) == "+PONG\r\n");
    // What was sent is answered once it reads.
    const std::size_t whole = sent / command({"GET", "k"}).size();
    const std::string reply = resp::bulk(value);
    for (std::size_t i = 0; i < whole; ++i) REQUIRE(lazy.read(reply.size()) == reply);
}

TEST_CASE("kv server: a client that ends its side gets its replies first") {
    Running kv;
    Client client(kv.path);
    std::string sets, oks;
    for (int i = 0; i < 2000; ++i) {
        sets += command({"SET", "k" + std::to_string(i), "v"});
        oks += "+OK\r\n";
    }
    client.send(sets + "*2\r\n$3\r\nGE");  // and half a command
    client.end();
    CHECK(client.read_all() == oks);
}

TEST_CASE("kv server: told to stop, it ends with clients connected and pipelines under way") {
    Running kv;
    Client idle(kv.path), half(kv.path), lazy(kv.path), busy(kv.path);
    const std::string value(100000, 'v');
    CHECK(busy.ask(command({"SET", "k", value}), 5) == "+OK\r\n");
    std::string gets, sets;
    for (int i = 0; i < 20000; ++i) gets += command({"GET", "k"});
    for (int i = 0; i < 5000; ++i) sets += command({"SET", "k" + std::to_string(i), "v"});
    half.send("*3\r\n$3\r\nSET\r\n$1000000\r\n");
    lazy.send_unread(gets);
    busy.send(sets);
    kv.stop();
    CHECK(kv.store->idle());
    // What is answered is whole.
    const std::string answered = busy.read_all();
    CHECK(answered.size() % 5 == 0);
}

TEST_CASE("kv server: what a client says of itself") {
    Running kv;
    Client client(kv.path);
    const auto says = [&](const std::string& line, const std::string& reply) {
        INFO(line);
        CHECK(client.ask(line + "\r\n", reply.size()) == reply);
    };
    says("CLIENT ID", ":1\r\n");
    says("CLIENT GETNAME", "$-1\r\n");
    says("CLIENT SETNAME me", "+OK\r\n");
    says("CLIENT GETNAME", "$2\r\nme\r\n");
    says("CLIENT SETNAME \"two words\"",
         "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    says("CLIENT SETINFO LIB-NAME redis-py", "+OK\r\n");
    says("CLIENT SETINFO lib-ver 5.0.1", "+OK\r\n");
    says("CLIENT SETINFO color red", "-ERR Unrecognized option 'color'\r\n");
    says("CLIENT INFO", "$57\r\nid=1 name=me db=0 resp=2 lib-name=redis-py lib-ver=5.0.1\n\r\n");
    says("CLIENT KILL x", "-ERR unknown subcommand or wrong number of arguments for 'KILL'");
    client.read(
        std::string(": CLIENT takes ID, GETNAME, SETNAME, SETINFO, INFO and LIST\r\n").size());
    says("GET nothing", "$-1\r\n");
    says("HELLO 4", "-NOPROTO unsupported protocol version\r\n");
    says("HELLO 3 AUTH nobody x",
         "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    says("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n");
    says("GET nothing", "$-1\r\n");  // nothing has changed
    says("HELLO 3 AUTH default x SETNAME you",
         "%7\r\n$6\r\nserver\r\n$8\r\nkv_store\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n"
         "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"
         "$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
    says("GET nothing", "_\r\n");
    says("MGET a b", "*2\r\n_\r\n_\r\n");
    says("CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
    says("CONFIG GET anything", "%0\r\n");
    says("CLIENT LIST", "=62\r\ntxt:id=1 name=you db=0 resp=3 lib-name=redis-py lib-ver=5.0.1\n");
    client.read(2);
    {
        // A pipeline is answered in the protocol of the time.
        const std::string reply = "_\r\n+RESET\r\n$-1\r\n$-1\r\n";
        says("GET nothing\r\nRESET\r\nGET nothing\r\nCLIENT GETNAME", reply);
    }
    says("AUTH default x", "+OK\r\n");
    says("AUTH x", "-ERR AUTH <password> called without any password configured");
    client.read(
        std::string(" for the default user. Are you sure your configuration is correct?\r\n")
            .size());
    says("LPUSH list x", "-ERR unknown command 'LPUSH', with args beginning with: 'list' 'x' \r\n");
    says("GET", "-ERR wrong number of arguments for 'get' command\r\n");
    {
        Client second(kv.path);
        const std::string line = "id=2 name= db=0 resp=2 lib-name= lib-ver=\n";
        CHECK(second.ask("CLIENT INFO\r\n", 5 + line.size() + 2) == resp::bulk(line));
    }
    client.send("QUIT\r\n");
    CHECK(client.read_all() == "+OK\r\n");
}

TEST_CASE("kv server: a web page's request is not run") {
    Running kv;
    for (const char* request : {"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET web page\r\n",
                                "Host: x\r\n\r\nSET web page\r\n"}) {
        Client browser(kv.path);
        browser.send(request);
        CHECK(browser.read_all() == "");
    }
    Client client(kv.path);
    CHECK(client.ask("EXISTS web\r\n", 4) == ":0\r\n");
}

TEST_CASE("kv server: only a socket makes way for its own") {
    const std::string path =
        std::filesystem::temp_directory_path() / ("kv_file_" + std::to_string(getpid()));
    std::FILE* file = std::fopen(path.c_str(), "w");
    std::fputs("precious", file);
    std::fclose(file);
    const auto refused = listen_on_path(path);
    REQUIRE(!refused);
    CHECK(refused.error().message.find("not a socket") != std::string::npos);
    CHECK(std::filesystem::file_size(path) == 8);
    unlink(path.c_str());

    const auto first = listen_on_path(path);
    REQUIRE(first);
    CHECK(!listen_on_path(path));
    close(*first);
    const auto second = listen_on_path(path);  // the file is still there
    REQUIRE(second);
    close(*second);
    unlink(path.c_str());
}
