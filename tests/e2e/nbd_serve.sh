#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The verb serve: who may connect, what a killed server leaves, how it ends, what it refuses.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 16MiB
: >plain

for options in "" "--volume v0" "--volume" "--volume v0 --socket s --port 9" "--volume v0 --port 0" \
    "--volume v0 --socket plain" "--volume v9 --socket s" "--volume v0 --socket none/s" \
    "--volume v0 --socket s --tls-psk none" "--volume v0 --socket $(printf 's%.0s' {1..200})"; do
    # shellcheck disable=SC2086
    expect 2 "$QLCSHAPE" serve array.toml $options
    [[ -s err ]] || fail "no message for $options"
done
expect 2 "$QLCSHAPE" serve none.toml --volume v0 --socket s
says none.toml
[[ ! -e s ]] || fail "a refused server left its socket"

start_server
[[ $(cat uri) == "$URI" ]] || fail "URI: $(cat uri)"
[[ $(stat -c %a "$SOCKET") == 600 ]] || fail "the socket's mode: $(stat -c %a "$SOCKET")"
expect 2 "$QLCSHAPE" serve array.toml --volume v0 --socket "$SOCKET"
says "another server"
expect 2 "$QLCSHAPE" serve array.toml --volume v0 --socket s
says "in use"
expect 2 "$QLCSHAPE" check array.toml
says "in use" "close it there first"
! grep -qi "inspect" err || fail "check is to inspect it"
expect 0 nbdinfo --size "$URI" # the first one still serves
stop_server

# Clients cost descriptors: as many as the hard limit allows, whatever the soft one is.
files=$(ulimit -Sn)
ulimit -Sn 100
start_server
ulimit -Sn "$files"
read -r soft hard < <(awk '/^Max open files/ { print $4, $5 }' "/proc/$(pgrep -P "$server")/limits")
[[ $soft == "$hard" ]] || fail "its limit on open files: $soft of $hard"
stop_server

# Where there are few, it serves four clients at once, or does not start and says why. It never
# prints its URI and then answers nobody.
# adds_up: the numbers of the message.
adds_up() {
    python3 - err <<'PYTHON' || fail "numbers that don't add up"
import re, sys
text = open(sys.argv[1]).read()
m = re.search(r"the limit on open files is (\d+): (\d+) are open, and (\d+) more can be, but at least "
              r"(\d+) more are needed for (?:(\d+) drives \((\d+)\) and four clients with a reserve \((\d+)\)|four clients and a reserve)", text)
limit, opened, left, needed = map(int, m.groups()[:4])
assert opened + left == limit and left < needed, text
if m[5]:
    assert int(m[5]) == 8 and int(m[6]) + int(m[7]) == needed, text
PYTHON
}
refused=0 served=0
for files in 16 20 32 40 44 48 52 56 64 96; do
    rm -f uri
    bash -c 'ulimit -n "$1"; shift; exec "$@"' _ $files \
        "$QLCSHAPE" serve array.toml --volume v0 --socket "$SOCKET" >uri 2>err &
    server=$!
    for _ in {1..600}; do
        [[ ! -s uri ]] && kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    if [[ -s uri ]]; then
        served=$((served + 1))
        timeout 60 "$PYTHON" -c 'import nbd, sys
clients = [nbd.NBD() for _ in range(4)]
for client in clients: client.connect_uri(sys.argv[1])
for client in clients: client.pwrite(b"x" * 4096, 0)' "$URI" || fail "no answer with $files files"
        stop_server
    else
        code=0
        ended $server || code=$?
        server=
        refused=$((refused + 1))
        [[ $code == 2 ]] || fail "exit $code with $files files"
        says "open files" "ulimit"
        adds_up
        # Plain nbdkit, also in the background, where its exit code is that of its start.
        expect 1 bash -c 'ulimit -n "$1"; shift; exec "$@"' _ $files \
            nbdkit -f -U "$WORK/plain.sock" "$PLUGIN" array=array.toml
        says "open files" "ulimit"
    fi
done
[[ $refused != 0 && $served != 0 ]] || fail "$refused refused, $served served"
expect 1 bash -c 'ulimit -n 20; exec "$@"' _ nbdkit -U "$WORK/plain.sock" "$PLUGIN" array=array.toml
says "open files" "ulimit"

# More clients than there is room for, with and without a word of theirs: they are sent away, and the
# log does not grow for as long as the others are there.
bash -c 'ulimit -n 96; exec "$@"' _ "$QLCSHAPE" serve array.toml --volume v0 --socket "$SOCKET" >uri 2>serve.err &
server=$!
for _ in {1..600}; do
    [[ ! -s uri ]] && kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
timeout 120 "$PYTHON" - "$URI" "$SOCKET" <<'PYTHON' || fail "too many clients: $(head -5 serve.err)"
import nbd, socket, sys, time

def clients(most):
    came = []
    for _ in range(most):
        client = nbd.NBD()
        try:
            client.connect_uri(sys.argv[1])
        except nbd.Error:
            break
        came.append(client)
    return came

def stays(mute):
    mute.connect(sys.argv[2])
    return mute.recv(18) != b""

came = clients(60)
assert 4 <= len(came) < 60, len(came)
mute = [socket.socket(socket.AF_UNIX) for _ in range(60)]
staying = sum(stays(one) for one in mute)
assert staying <= 1, staying
came[0].pwrite(b"x" * 4096, 0)
again = len(came)
del came, mute
for _ in range(500):
    came = clients(again)
    if len(came) == again:
        break
    del came
    time.sleep(0.1)
else:
    sys.exit("no room afterwards")
came[-1].pwrite(b"x" * 4096, 0)
PYTHON
stop_server
(($(wc -l <serve.err) < 1000)) || fail "$(wc -l <serve.err) lines in the log"
grep -q "a client is sent away.*limit on open files is 96.*ulimit" serve.err || fail "no cause: $(head -5 serve.err)"

# Several volumes, each by its name, and no others.
expect 0 "$QLCSHAPE" volume create array.toml v1 --size 8MiB
expect 0 "$QLCSHAPE" volume create array.toml v2 --size 4MiB
start_server --volume v1
printf 'nbd+unix:///%s?socket=%s\n' v0 "$SOCKET" v1 "$SOCKET" >wanted
for _ in {1..1200}; do
    ! cmp -s uri wanted || break
    sleep 0.1
done
cmp uri wanted || fail "URIs: $(cat uri)"
copies=()
for name in v0 v1; do
    head -c 4M /dev/urandom >"$name.in"
    nbdcopy "$name.in" "nbd+unix:///$name?socket=$SOCKET" &
    copies+=($!)
done
for copy in "${copies[@]}"; do wait "$copy" || fail "a copy to one of two volumes failed"; done
for name in v0 v1; do
    expect 0 nbdcopy "nbd+unix:///$name?socket=$SOCKET" "$name.out"
    cmp -n 4194304 "$name.in" "$name.out" || fail "$name has another's bytes"
done
expect 1 nbdinfo --size "nbd+unix:///v2?socket=$SOCKET"
expect 0 nbdinfo --list --json "$URI"
"$PYTHON" -c 'import json, sys
assert [e["export-name"] for e in json.load(sys.stdin)["exports"]] == ["v0", "v1"]' <out || fail "list: $(cat out)"
stop_server
expect 2 "$QLCSHAPE" serve array.toml --volume v0 --volume v9 --socket s

# systemd is told when I/O works.
"$PYTHON" - "$QLCSHAPE" <<'PYTHON' || fail "no word to systemd"
import os, socket, subprocess, sys
for name in ("notify", "\0qlcshape-e2e-" + str(os.getpid())):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(name)
    told.settimeout(60)
    serve = subprocess.Popen([sys.argv[1], "serve", "array.toml", "--volume", "v0", "--socket", "s"],
                             env={**os.environ, "NOTIFY_SOCKET": name.replace("\0", "@")},
                             stdout=subprocess.DEVNULL)
    try:
        assert told.recv(100) == b"READY=1"
    finally:
        serve.terminate()
        assert serve.wait(60) == 0
PYTHON

# nbdkit killed: said so, nothing in the way of the next start.
start_server
kill -KILL "$(pgrep -P "$server" nbdkit)"
code=0
ended "$server" || code=$?
[[ $code == 1 ]] || fail "exit $code after nbdkit was killed"
grep -q "signal 9.*recovers" serve.err || fail "not said: $(cat serve.err)"
# Both killed: the socket's file stays.
start_server
kill -STOP "$server"
kill -KILL "$(pgrep -P "$server" nbdkit)" "$server"
ended "$server" 2>/dev/null || true
[[ -S $SOCKET ]] || fail "it was to leave a stale socket"
start_server
# The command alone killed: nbdkit closes the array.
kill -KILL "$server"
ended "$server" 2>/dev/null || true
for _ in {1..1200}; do
    "$QLCSHAPE" status array.toml --json >out 2>err || true
    ! grep -q '"kind": "clean"' out || break
    sleep 0.1
done
holds 'j["recovery"]["kind"] == "clean"'

# What is not a file of keys: clients would get no further than the handshake.
mkfifo fifo
: >none
printf 'alice:0123\nbob\n' >bob
printf 'alice:012\n' >odd
for keys in qlc0.img fifo none bob odd array.toml; do
    expect 2 "$QLCSHAPE" serve array.toml --socket "$SOCKET" --tls-psk $keys
    says "--tls-psk $keys: " NAME:HEX
done
expect 2 "$QLCSHAPE" serve array.toml --socket "$SOCKET" --tls-psk bob
says "line 2" NAME:HEX
! grep -q 0123 err || fail "a key in a message"

# A loopback port, with keys: nobody without TLS.
printf 'alice:%s\n' "$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')" >keys
for port in $(shuf -i 20000-32000 -n 20); do
    rm -f out # what is there of before is no answer
    "$QLCSHAPE" serve array.toml --volume v0 --port "$port" --tls-psk keys --json >out 2>err &
    server=$!
    for _ in {1..1200}; do
        [[ ! -s out ]] && kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    [[ ! -s out ]] || break # else the port was taken
done
holds 'j["verb"] == "serve" and j["uri"].startswith("nbds://127.0.0.1:")'
says "keys: all users may read"
expect 1 nbdinfo --size "nbd://127.0.0.1:$port"
expect 0 nbdinfo --size "nbds://alice@127.0.0.1:$port/?tls-psk-file=$PWD/keys"
kill -INT "$server"
ended "$server" || fail "exit $? on SIGINT"
server=
