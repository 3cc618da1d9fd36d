#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Drives that hang: QLC drive 1 and SCM drive 0 are block devices on NBD servers that the test stops.
# Whoever waits for them goes on without them, in an array that is open, and when it is opened; they
# are named, what they have missed is made up for when they answer, and nothing is lost.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
source "$(dirname "$0")/loop.bash"
command -v nbdfuse >/dev/null || { echo "SKIPPED: no nbdfuse"; exit 77; }

declare -A backs blocks
end_drives() {
    for pid in "${backs[@]}"; do kill -CONT "$pid" 2>/dev/null || true; done
    for block in "${blocks[@]}"; do timeout 20 losetup -d "$block" || true; done
    rm -f hold
    for name in qlc scm flush; do unmount "disk_$name"; done
    end_loop
}
trap end_drives EXIT

# drive NAME SIZE: a block device whose bytes another process keeps.
drive() {
    nbdkit --exit-with-parent --foreground -U "$WORK/$1.sock" memory "$2" >"$1.out" 2>&1 &
    backs[$1]=$!
    until [[ -S $1.sock ]]; do sleep 0.1; done
    touch "disk_$1"
    nbdfuse -C 4 "disk_$1" "nbd+unix:///?socket=$WORK/$1.sock" >>"$1.out" 2>&1 &
    until [[ -s disk_$1 ]]; do sleep 0.1; done
    blocks[$1]=$(losetup --find --show --direct-io=on --sector-size 4096 "disk_$1")
}
drive qlc 24M
drive scm 24M

array_file
python3 - "${blocks[qlc]}" "${blocks[scm]}" <<'PYTHON'
import sys
text = open("array.toml").read()
text = text.replace('path = "qlc1.img"\nsize = "24MiB"', f'path = "{sys.argv[1]}"')
text = text.replace('path = "scm0.img"\nsize = "16MiB"', f'path = "{sys.argv[2]}"')
open("array.toml", "w").write(text.replace("[[device]]", '[engine]\nio_timeout = "4s"\n\n[[device]]', 1))
PYTHON
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 32MiB

# client: writes each block of the volume again and again, and notes what was acknowledged; once the
# file `enough` is there, it ends after another whole round.
client() {
    "$PYTHON" - "$URI" <<'PYTHON'
import nbd, os, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
size = h.get_size()
round = 0
last = None
acked = {}
while round != last:
    round += 1
    for at in range(0, size, 65536):
        h.pwrite(round.to_bytes(2, "little") * 32768, at)
        acked[at] = round
    if last is None and os.path.exists("enough"):
        last = round + 1
with open("acked", "w") as out:
    for at, value in acked.items():
        print(at, value, file=out)
PYTHON
}

# reader: reads the volume again and again, likewise.
reader() {
    "$PYTHON" - "$URI" <<'PYTHON'
import nbd, os, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
size = h.get_size()
while not os.path.exists("enough"):
    for at in range(0, size, 4096):
        h.pread(4096, at)
PYTHON
}

# verify: each place has what was acknowledged last, or what was written after it.
verify() {
    "$PYTHON" - "$URI" <<'PYTHON'
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for line in open("acked"):
    at, value = map(int, line.split())
    data = h.pread(65536, at)
    found = int.from_bytes(data[:2], "little")
    assert data == data[:2] * 32768 and found in (value, value + 1), (at, value, found)
PYTHON
}

# stop_held_server: as stop_server, while the drive hangs. The kernel may keep nbdkit's process.
stop_held_server() {
    local code=0
    kill -TERM "$server"
    ended "$server" || code=$?
    server=
    [[ $code == 0 ]] || grep -q "the kernel keeps its process until a drive answers" serve.err ||
        fail "the server ended with $code: $(cat serve.err)"
    expect 0 "$QLCSHAPE" status array.toml --json
    holds '"clean" == j["recovery"]["kind"]'
}
states='[d["state"] for d in j["devices"] if d["path"] == "PATH"]'

for name in qlc scm; do
    path=${blocks[$name]}
    of_drive=${states/PATH/$path}
    start_server
    rm -f enough
    client >client.out 2>&1 &
    clients=($!)
    for i in 1 2 3; do
        reader >"reader$i.out" 2>&1 &
        clients+=($!)
    done
    sleep 2
    kill -STOP "${backs[$name]}"
    wait_for "$of_drive == ['out']"
    holds 'j["array"]["state"] == "open" and j["array"]["health"] != "ok"'
    holds "any('$path' in r and \"doesn't answer\" in r for r in j['array']['health_reasons'])"
    # It answers, and is back while the array is open and used. Then it hangs again.
    kill -CONT "${backs[$name]}"
    wait_for "$of_drive == ['online']"
    grep -q "$path: it was out; $name drive . is in again" serve.err ||
        fail "the log does not say that $path is back: $(cat serve.err)"
    [[ $name == scm ]] || wait_for_parity "what was written without $path, which is back"
    kill -STOP "${backs[$name]}"
    wait_for "$of_drive == ['out']"
    touch enough
    for client in "${clients[@]}"; do
        ended "$client" || fail "a client failed: $(cat client.out reader?.out)"
    done
    grep -q "$path: $name drive . is out: it does not answer" serve.err ||
        fail "the log does not name $path: $(cat serve.err)"
    verify || fail "a write that was acknowledged is not there"
    stop_held_server
    # It still hangs, and nobody waits for it for ever.
    expect 0 "$QLCSHAPE" volume list array.toml
    start_server
    verify || fail "a write that was acknowledged is not there after another opening"
    grep -q "$path: .*the array is open without this drive" serve.err ||
        fail "the log does not name $path: $(cat serve.err)"
    stop_held_server
    kill -CONT "${backs[$name]}"
    start_server
    wait_for "$of_drive == ['online']"
    verify || fail "a write that was acknowledged is not there when the drive is back"
    wait_for_parity "what was written without $path"
    stop_server
    # It hangs before the array is opened.
    kill -STOP "${backs[$name]}"
    start_server
    grep -q "$path: .*the array is open without this drive" serve.err ||
        fail "the log does not name $path: $(cat serve.err)"
    verify || fail "a write that was acknowledged is not there"
    stop_held_server
    kill -CONT "${backs[$name]}"
done

# One that keeps its flushes alone, in a call of the kernel that nothing ends: no thread that is held
# there is waited for, neither when the array is closed.
truncate -s 24M bytes
nbdkit --exit-with-parent --foreground -U "$WORK/flush.sock" eval get_size='echo 24M' \
    can_write=true can_flush=true \
    pread="dd if=$WORK/bytes bs=64k skip=\$4 count=\$3 iflag=skip_bytes,count_bytes status=none" \
    pwrite="dd of=$WORK/bytes bs=64k seek=\$4 oflag=seek_bytes conv=notrunc status=none" \
    flush="while [ -e $WORK/hold ]; do sleep 0.1; done" >flush.out 2>&1 &
until [[ -S flush.sock ]]; do sleep 0.1; done
touch disk_flush
nbdfuse -C 4 disk_flush "nbd+unix:///?socket=$WORK/flush.sock" >>flush.out 2>&1 &
until [[ -s disk_flush ]]; do sleep 0.1; done
blocks[flush]=$(losetup --find --show --direct-io=on --sector-size 4096 disk_flush)
path=${blocks[flush]}
expect 0 "$QLCSHAPE" replace array.toml qlc3.img "$path"
sed -i "s#path = \"qlc3.img\"#path = \"$path\"#; \#\"$path\"#{n;d}" array.toml
start_server
rm -f enough
client >client.out 2>&1 &
clients=($!)
touch hold
wait_for "${states/PATH/$path} == ['out']"
touch enough
ended "${clients[0]}" || fail "a client failed: $(cat client.out)"
verify || fail "a write that was acknowledged is not there"
stop_held_server
rm hold

start_server
wait_for "all(d['state'] == 'online' for d in j['devices'])"
verify || fail "a write that was acknowledged is not there"
wait_for_parity "what was written without a drive"
stop_server
expect 0 "$QLCSHAPE" check array.toml
