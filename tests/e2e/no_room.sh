#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Drive files that can't grow: a full file system, a limit on the size of files, a read-only mount. Each
# is named with what helps, which is then done, and works.
if [[ ${1:-} != mounted ]]; then
    unshare --mount true 2>/dev/null || { echo "SKIPPED: no mounts can be made"; exit 77; }
    exec unshare --mount bash "$0" mounted
fi
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

mkdir room
mount -t tmpfs -o size=48m none room
# shellcheck disable=SC2329  # called by the trap
finish() {
    umount -l "$WORK/room"
    end_server
}
trap finish EXIT
room() { mount -o remount,size="$1" "$WORK/room"; }
bench=("$QLCSHAPE" bench array.toml --volume v0 --bs 64KiB)
says_not() { ! grep -qiF -- "$1" err || fail "it says: $1"; }
# advises TEXT...: the drives are not to blame.
advises() {
    says "$@"
    says_not reconnect
}

# It is said before anything is written.
array_file
sed -i 's|path = "|&room/|' array.toml
expect 0 "$QLCSHAPE" create array.toml --json
says "may grow by 162 MiB" "MiB left" "free space on the file system that holds room/qlc0.img"
holds 'j["file_systems"][0]["unallocated_bytes"] > j["file_systems"][0]["available_bytes"] > 0'
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 40MiB
says "may grow by"
expect 0 "$QLCSHAPE" status array.toml
grep -q "^room .*may grow by" out || fail "status says nothing of the room"

# The command: while it writes, when it opens the array again, and when there is room.
expect 2 "${bench[@]}" --rw write --verify --verify-state stamps
advises "No space left" "free space on the file system that holds" ", then close the array and open it again"
expect 0 "$QLCSHAPE" status array.toml
head -1 out | grep -q "CRASHED: .*recovers it, if there is room: .*free space on" || fail "status promises"
for _ in 1 2 3; do
    expect 2 "${bench[@]}" --rw read
    advises "No space left" "free space on the file system that holds" ", then open the array again"
done
expect 0 "${bench[@]}" --rw read --read-only
room 400m
expect 0 "${bench[@]}" --rw read
says_not "may grow by"
# Of the writes that failed each is there or not.
expect 0 "${bench[@]}" --rw read --verify --verify-state stamps
expect 0 "$QLCSHAPE" status array.toml
! grep -q "may grow by" out || fail "status finds too little room"

# A server, in its log.
start_server
room "$(($(df --output=used -k room | tail -1) + 512))k"
expect 0 "$PYTHON" - "$URI" <<'PYTHON'
import errno, nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
try:
    for i in range(2 * 640):
        h.pwrite(bytes([i % 255 + 1]) * 65536, i % 640 * 65536)
    sys.exit("written")
except nbd.Error as e:
    assert e.errnum == errno.EIO, e
PYTHON
expect 0 "$QLCSHAPE" status array.toml
head -1 out | grep -q "^FAILED: writing has ended .*; free space on the file system that holds" ||
    fail "status does not say what helps"
! grep -q reconnect out || fail "status blames drives"
kill -TERM "$server"
code=0
ended "$server" || code=$?
server=
[[ $code == 1 ]] || fail "the server ended with $code"
grep -q "writing has ended .*No space left.*; everything acknowledged is safe; free space on" serve.err ||
    fail "the log does not say what helps: $(cat serve.err)"
grep -q "could not be closed cleanly .*, then open the array again" serve.err || fail "nor at the end: $(cat serve.err)"
! grep -q reconnect serve.err || fail "the log blames drives: $(cat serve.err)"
room 400m
start_server
stop_server

# A limit on the size of files. Some of the array lies beyond it.
expect 2 bash -c 'ulimit -f 8192; exec "$@"' _ "${bench[@]}" --rw write
advises "may write only the first 8 MiB of a file" "File too large" "ulimit -f" "close the array and open it again"
expect 0 "${bench[@]}" --rw write

# A read-only mount.
for _ in {1..300}; do # the kernel may close the files of a process a moment after its end
    ! mount -o remount,ro "$WORK/room" 2>mount.err || break
    sleep 0.1
done
expect 2 "${bench[@]}" --rw write
advises "read-only" "remount,rw" "the array can still be opened read-only"
expect 0 "${bench[@]}" --rw read --read-only
mount -o remount,rw "$WORK/room"
expect 0 "${bench[@]}" --rw write
expect 0 "$QLCSHAPE" check array.toml
