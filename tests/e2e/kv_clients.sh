#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The key-value example with the clients that people use, and under what else they do to it.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/kv.bash"
kv_array

# Refused at the start, with exit code 2 and a message.
refused() {
    local words=$1
    shift
    expect 2 "$KV_STORE" "$@"
    says "$words"
}
refused "array is required"
refused "required" array.toml --socket kv.sock
refused "1 option" array.toml --volume kv
refused "--prot" array.toml --volume kv --port 1 --prot 1
refused "port" array.toml --volume kv --port 0
refused "port" array.toml --volume kv --port 65536
refused "none.toml" none.toml --volume kv --socket kv.sock
refused "not a socket" array.toml --volume kv --socket array.toml
[[ -s array.toml ]] || fail "the array file is gone"
expect 0 "$KV_STORE" --help

# A port of our own, and pipelines of every length.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
kv_start --port "$port"
mkdir two
(cd two && kv_array && refused "address already in use" array.toml --volume kv --port "$port")
for pipeline in 1 65 1000; do
    timeout 100 redis-benchmark -p "$port" -q -t set,get -n 3000 -c 1 -P $pipeline >out 2>err || fail "a pipeline of $pipeline"
done
timeout 100 redis-benchmark -p "$port" -q -3 -t ping,set,get,mset -n 2000 >out 2>err || fail "redis-benchmark -3"
timeout 100 redis-benchmark -p "$port" -q -t ping,set,get,mset -n 2000 >out 2>err || fail "redis-benchmark"
! grep -i warning out err || fail "redis-benchmark warns"
python3 -c 'for i in range(20000): print(f"*3\r\n$3\r\nSET\r\n$9\r\npipe{i:05}\r\n$5\r\n{i:05}\r")' >pipe
timeout 100 redis-cli -p "$port" --pipe <pipe >out 2>err || fail "redis-cli --pipe"
grep -q "errors: 0, replies: 20000" out || fail "redis-cli --pipe"
[[ $(redis-cli -p "$port" -3 GET pipe19999) == 19999 ]] || fail "redis-cli -3"

cat >clients.py <<'PYTHON'
import socket, sys, time
import redis
port = int(sys.argv[1])

r = redis.Redis(port=port, client_name="tester", socket_timeout=60, decode_responses=True)
assert r.set("a", "1") and r.get("a") == "1" and r.get("none") is None
assert r.mset({"b": "2", "c": "3"}) and r.mget("a", "none", "c") == ["1", None, "3"]
assert r.delete("b", "c", "none") == 2 and r.exists("a") == 1
assert r.client_getname() == "tester" and any(c["name"] == "tester" for c in r.client_list())
assert r.info()["redis_version"] and r.config_get("save") == {"save": ""}
assert len(list(r.scan_iter("pipe0000?"))) == 10
p = r.pipeline(transaction=False)
for i in range(3000): p.set(f"p{i}", i)
assert p.execute() == [True] * 3000
try:
    r.lpush("list", 1)
    sys.exit("LPUSH was taken")
except redis.ResponseError as error:
    assert "unknown command" in str(error), error

# What go-redis 9 sends first, in one write and by a pipeline.
def words(*all): return b"*%d\r\n" % len(all) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in all)
def client():
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(60)
    return s
s = client()
s.sendall(words(b"hello", b"3") + words(b"client", b"setinfo", b"LIB-NAME", b"go-redis(,go1.22.1)")
          + words(b"client", b"setinfo", b"LIB-VER", b"9.5.1") + words(b"get", b"none"))
got = b""
while not got.endswith(b"_\r\n"):
    got += s.recv(4096)
assert got.startswith(b"%7\r\n") and got.endswith(b"*0\r\n+OK\r\n+OK\r\n_\r\n"), got

# 1000 clients at once, each of them answered.
many = [client() for _ in range(1000)]
for i, s in enumerate(many): s.sendall(b"SET many%d %d\r\n" % (i, i))
for s in many: assert s.recv(10) == b"+OK\r\n"
for s in many: s.close()
PYTHON
ulimit -Sn "$(ulimit -Hn)"
expect 0 /usr/bin/python3 clients.py "$port"

# Told to stop while clients are connected, one of them in the middle of a command and one in the
# middle of a pipeline that never ends.
cat pipe pipe pipe pipe | timeout 100 redis-cli -p "$port" --pipe >pipe.out 2>&1 &
exec 5<>"/dev/tcp/127.0.0.1/$port"
printf '*3\r\n$3\r\nSET\r\n' >&5
sleep 0.2
kv_stop
exec 5>&-
wait %2 2>/dev/null || true
expect 0 "$QLCSHAPE" check array.toml
[[ $("$QLCSHAPE" status array.toml --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["array"]["state"])') == clean ]] ||
    fail "the array was not closed"

# Few file descriptors: those clients that there is no room for wait until others go.
(ulimit -n 85 && exec "$KV_STORE" array.toml --volume kv --socket kv.sock >kv.out 2>kv.err) &
kv=$!
until grep -q ready kv.out; do kill -0 $kv || { cp kv.err err; fail "ended with few file descriptors"; }; sleep 0.1; done
expect 0 python3 - <<'PYTHON'
import socket
def client():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect("kv.sock")
    s.sendall(b"PING\r\n")
    return s
many = [client() for _ in range(100)]
assert many[0].recv(10) == b"+PONG\r\n"
for s in many[:60]: s.close()
for s in many[60:]: assert s.recv(10) == b"+PONG\r\n"
PYTHON
grep -q "can't accept" kv.err || fail "nothing was said about file descriptors"
kv_stop
[[ ! -e kv.sock ]] || fail "the socket was left"

# Nobody reads what it prints.
"$KV_STORE" array.toml --volume kv --socket kv.sock 2>&1 | true &
until [[ $(cli PING 2>/dev/null) == PONG ]]; do sleep 0.1; done
answers 1 GET a
kv=$(cli INFO | tr -d '\r' | sed -n 's/process_id://p')
kill "$kv"
while kill -0 "$kv" 2>/dev/null; do sleep 0.1; done
kv=
expect 0 "$QLCSHAPE" check array.toml

# The drives go away under load: every command is answered, and the server can be stopped.
kv_start --port "$port"
timeout 100 redis-cli -p "$port" --pipe <pipe >pipe.out 2>&1 &
load=$!
sleep 0.2
for drive in qlc0 qlc1 qlc2 scm0 scm1; do truncate -s 0 $drive.img; done
wait $load || true  # it fails when there were errors
grep -q "replies: 20000" pipe.out || fail "commands are not answered when drives are gone"
timeout 100 redis-cli -p "$port" -e SET a b >out 2>err && fail "a SET was taken with no drive for it"
kill "$kv"
expect 0 timeout 100 tail --pid="$kv" -f /dev/null
grep -Eq "error: (qlc|scm) drive" kv.err || fail "the drives' errors are not in the log"
