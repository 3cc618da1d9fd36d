#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Drives that hang: QLC drive 1 and SCM drive 0 are block devices on NBD servers that the test stops.
# Whatever waits for them ends, names the drive, and what was acknowledged is there afterwards.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
source "$(dirname "$0")/loop.bash"
command -v nbdfuse >/dev/null || { echo "SKIPPED: no nbdfuse"; exit 77; }

declare -A backs blocks
end_drives() {
    for pid in "${backs[@]}"; do kill -CONT "$pid" 2>/dev/null || true; done
    for block in "${blocks[@]}"; do timeout 20 losetup -d "$block" || true; done
    for name in qlc scm; do unmount "disk_$name"; done
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
open("array.toml", "w").write(text.replace("[[device]]", '[engine]\nio_timeout = "2s"\n\n[[device]]', 1))
PYTHON
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 32MiB

# client: writes each block of the volume again and again, notes what was acknowledged, and ends with
# the first error.
client() {
    "$PYTHON" - "$URI" <<'PYTHON'
import errno, nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
size = h.get_size()
round = 0
acked = {}
try:
    while True:
        round += 1
        for at in range(0, size, 65536):
            h.pwrite(round.to_bytes(2, "little") * 32768, at)
            acked[at] = round
except nbd.Error as e:
    print("ended with", errno.errorcode.get(e.errnum, e.errnum))
with open("acked", "w") as out:
    for at, value in acked.items():
        print(at, value, file=out)
PYTHON
}

# reader: reads the volume again and again, and ends with the first error.
reader() {
    "$PYTHON" - "$URI" <<'PYTHON'
import errno, nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
size = h.get_size()
try:
    while True:
        for at in range(0, size, 4096):
            h.pread(4096, at)
except nbd.Error as e:
    print("ended with", errno.errorcode.get(e.errnum, e.errnum))
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

for name in qlc scm; do
    path=${blocks[$name]}
    start_server
    client >client.out &
    writing=$!
    readers=()
    for i in 1 2 3; do
        reader >"reader$i.out" &
        readers+=($!)
    done
    for _ in {1..600}; do [[ $(stat -c %s uri) != 0 ]] && sleep 2 && break; done
    kill -STOP "${backs[$name]}"
    ended $writing || fail "the client failed: $(cat client.out)"
    grep -q "ended with EIO" client.out || fail "$(cat client.out)"
    for i in 1 2 3; do
        ended "${readers[i - 1]}" || fail "a reader failed: $(cat "reader$i.out")"
        grep -q "ended with EIO" "reader$i.out" || fail "$(cat "reader$i.out")"
    done
    [[ -s acked ]] || fail "nothing was acknowledged before"
    expect 0 "$QLCSHAPE" status array.toml
    grep -q "^FAILED: .*$path: .*timed out" out || fail "status does not name $path"
    kill -TERM "$server"
    code=0
    ended "$server" || code=$?
    server=
    [[ $code == 1 ]] || fail "the server ended with $code: $(cat serve.err)"
    grep -q "$path: .*timed out" serve.err || fail "the log does not name $path: $(cat serve.err)"
    # It still hangs. Nothing that looks at the array or opens it waits for ever.
    for verb in "status array.toml" "volume list array.toml" \
        "bench array.toml --volume v0 --rw randread --size 1MiB"; do
        code=0
        # shellcheck disable=SC2086  # words
        timeout -k 5 120 "$QLCSHAPE" $verb >out 2>err || code=$?
        [[ $code != 124 && $code != 137 ]] || fail "$verb waits for ever"
        [[ $verb != bench* ]] || says "locked by a process that has ended"
        [[ $verb != status* ]] || grep -q "$path" out || fail "status does not name $path"
    done
    kill -CONT "${backs[$name]}"
    start_server
    verify || fail "a write that was acknowledged is not there"
    stop_server
    # A drive that hangs before the array is opened.
    kill -STOP "${backs[$name]}"
    code=0
    timeout -k 5 120 "$QLCSHAPE" serve array.toml --socket "$SOCKET" >out 2>err || code=$?
    ((code == 1 || code == 2)) || fail "serve of a drive that hangs: exit $code"
    says "$path" "doesn't answer"
    kill -CONT "${backs[$name]}"
done
expect 0 "$QLCSHAPE" check array.toml
