#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The key-value example served to redis-cli and redis-benchmark; what was set outlives a restart.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/kv.bash"
kv_array
kv_start

answers PONG PING
answers hello ECHO hello
answers OK SELECT 0
answers OK SET a 1
answers 1 GET a
answers "" GET nothing
answers OK MSET b 2 c 3 d 4
answers $'1\n2\n\n4' MGET a b none d
answers 3 EXISTS a b a none
answers 2 DEL b c none
answers 2 DBSIZE
answers OK SET a again
answers again GET a
answers OK SET "" empty-key
answers empty-key GET ""
answers OK SET empty ""
answers 1 EXISTS empty
answers 2 DEL "" empty
cli INFO | grep 'db0:keys=2' >/dev/null || fail "INFO without the number of keys"
cli --no-raw CONFIG GET appendonly | grep yes >/dev/null || fail "CONFIG GET"

# What is not supported is told.
says_cli() {
    local words=$1
    shift
    cli "$@" 2>&1 | grep "$words" >/dev/null || fail "$*: no word of: $words"
}
says_cli "syntax error" SET a 1 NX
says_cli "unknown command" LPUSH list 1
says_cli "wrong number" GET
says_cli "only 0\|out of range" SELECT 1
says_cli "invalid cursor" SCAN 99999999
says_cli "at most 1024" SET "$(head -c 1025 /dev/zero | tr '\0' k)" 1

# Values of all sizes, to the limit and beyond it.
for bytes in 1023 1024 1025 4095 4096 4097 100000 524288; do
    head -c "$bytes" /dev/urandom | base64 -w0 >longer
    head -c "$bytes" longer >"value.$bytes"
    [[ $(cli -x SET "v$bytes" <"value.$bytes") == OK ]] || fail "SET of $bytes bytes"
    [[ $(cli GET "v$bytes") == "$(cat "value.$bytes")" ]] || fail "GET of $bytes bytes"
done
head -c 524289 /dev/zero | tr '\0' x >toolong
cli -x SET toolong <toolong | grep "at most 524288" >/dev/null || fail "a value that is too long was taken"
answers 10 DBSIZE

# All keys by SCAN, and some.
python3 - >commands <<'PYTHON'
for i in range(3000):
    print(f"SET key:{i} {'x' * (i % 300)}{i}")
PYTHON
[[ $(cli <commands | sort | uniq -c | xargs) == "3000 OK" ]] || fail "3000 keys"
answers 3010 DBSIZE
[[ $(cli --scan | sort -u | wc -l) == 3010 ]] || fail "SCAN does not show every key"
[[ $(cli --scan | wc -l) == 3010 ]] || fail "SCAN shows a key twice"
[[ $(cli --scan --pattern 'key:12*' | wc -l) == 111 ]] || fail "SCAN MATCH"

# Pipelines and many clients.
bench() { redis-benchmark -s kv.sock -q "$@" >out 2>err || fail "redis-benchmark $*"; }
bench -t set,get -n 20000 -c 50
bench -t set,get -n 50000 -c 50 -P 16 -r 10000 -d 100
grep -q 'SET: .*requests per second' out || fail "no result of SET"
bench -t set,get -n 2000 -c 10 -P 4 -r 50 -d 20000
bench -t mset -n 2000 -c 10 -r 1000

# Bytes that are not text, in pieces, in one pipeline; then what breaks the protocol.
python3 - <<'PYTHON' || fail "the protocol"
import socket
def client():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect("kv.sock")
    return s
def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
def ask(s, data, wanted):
    s.sendall(data)
    got = b""
    while len(got) < len(wanted):
        part = s.recv(65536)
        assert part, got[-200:]
        got += part
    assert got == wanted, (got[-200:], wanted[-200:])

s = client()
binary = bytes(range(256)) + b"\r\n\0"
data = command(b"SET", binary, binary) + command(b"GET", binary) + command(b"DEL", binary)
for i in range(len(data) - 1):
    s.sendall(data[i:i + 1])
bulk = b"$%d\r\n%s\r\n" % (len(binary), binary)
ask(s, data[-1:], b"+OK\r\n" + bulk + b":1\r\n")

# A large value set and asked for in one pipeline, over and over; the replies stay in order.
for start in range(0, 200, 20):
    many, wanted = b"", b""
    for i in range(start, start + 20):
        value = b"%d" % i * (1 + 37 * i)
        many += command(b"SET", b"pipe", value) + command(b"GET", b"pipe") + command(b"PING")
        wanted += b"+OK\r\n$%d\r\n%s\r\n+PONG\r\n" % (len(value), value)
    ask(s, many, wanted)
ask(s, command(b"DEL", b"pipe") + command(b"QUIT"), b":1\r\n+OK\r\n")
assert s.recv(10) == b""

for broken in (b'GET "a\r\n', b"*x\r\n", b"*1\r\n:3\r\n", b"*1\r\n$99999999\r\n", b"*1\r\n$1\r\nabc",
               b"*99999\r\n", b"*11111111111111111111\r\n", b"*1\r\n$-1\r\n"):
    s = client()
    s.sendall(broken)
    answer = b""
    while part := s.recv(1000):
        answer += part
    assert answer.startswith(b"-ERR Protocol error"), (broken, answer)
# Clients that go away in the middle.
for i in range(100):
    s = client()
    s.sendall(command(b"SET", b"gone%d" % i, b"x" * 5000) * 3 + b"*3\r\n$3\r\nSE")
    s.close()
PYTHON
answers PONG PING

# What those clients sent may still be under way.
before=none
until [[ $(cli DBSIZE) == "$before" ]]; do
    before=$(cli DBSIZE)
    sleep 1
done
kv_stop
expect 0 "$QLCSHAPE" check array.toml
kv_start
answers "$before" DBSIZE
answers again GET a
for bytes in 1023 1024 1025 4095 4096 4097 100000 524288; do
    [[ $(cli GET "v$bytes") == "$(cat "value.$bytes")" ]] || fail "GET of $bytes bytes after a restart"
done
[[ $(cli GET key:299) == "$(head -c 299 /dev/zero | tr '\0' x)299" ]] || fail "key:299"

# Full: told, nothing is harmed, and room comes back.
for i in {1..150}; do
    cli -x SET "fill$i" <value.524288
done >fills
grep -q OOM fills || fail "a full volume was not told"
answers again GET a
for i in {1..150}; do echo "DEL fill$i"; done | cli >/dev/null
[[ $(cli -x SET v524288 <value.524288) == OK ]] || fail "no room after DEL"
kv_stop

# Killed it leaves its socket behind, which is no obstacle.
kv_start
kv_kill
kv_start
answers again GET a
kv_stop
kv_start --port 16379
[[ $(redis-cli -p 16379 GET a) == again ]] || fail "over TCP"
expect 2 "$KV_STORE" array.toml --volume kv --socket other.sock
kv_stop

# Two drives gone: everything can be read and changed, and both are told.
mv qlc1.img away1.img
mv qlc4.img away4.img
kv_start
answers again GET a
[[ $(cli GET v524288) == "$(cat value.524288)" ]] || fail "a large value without two drives"
answers OK SET a other
answers other GET a
kv_stop
grep "is missing" kv.err >/dev/null || fail "missing drives were not told"
mv away1.img qlc1.img
mv away4.img qlc4.img

# A volume that holds something else is left alone.
expect 0 "$QLCSHAPE" volume delete array.toml kv --yes
expect 0 "$QLCSHAPE" volume create array.toml kv --size 16MiB
expect 0 "$QLCSHAPE" bench array.toml --volume kv --size 1m
expect 2 "$KV_STORE" array.toml --volume kv --socket kv.sock
says "not a key-value store's"
expect 2 "$KV_STORE" array.toml --volume none --socket kv.sock
expect 0 "$QLCSHAPE" check array.toml
