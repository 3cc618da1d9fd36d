#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# QLC drives fail under an open array, as drives do: every write and flush is an error, or every
# transfer is. Writing goes on without one of them, then without two, through a kill; when they are
# well again they are taken back. A third ends writing, and nothing that was acknowledged is lost.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
source "$(dirname "$0")/loop.bash"
source "$(dirname "$0")/ill.bash"

array_file
for i in 0 2; do ill_member "qlc$i.img" "disk$i" 24M "ill$i" all; done
# Drive 5 can be read when it fails, as one that is worn out.
ill_member qlc5.img disk5 24M ill5 writes
create_v0

# write_all NAME: new contents everywhere, and reads them back.
write_all() {
    dd if=/dev/urandom of=image bs=64k count=$((bytes / 2 / 65536)) seek=$((RANDOM % 64)) \
        conv=notrunc status=none
    expect 0 nbdcopy --flush image "$URI"
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong $1"
}
# out_are NUMBER...: the drives that are out, as status and the log have them.
out_are() {
    expect 0 "$QLCSHAPE" status array.toml --json
    holds "[d['index'] for d in j['devices'] if d['state'] == 'out'] == [$1]"
    holds "all(d['errors'] > 0 and d['last_error'] for d in j['devices'] if d['state'] == 'out')"
}

start_server
write_all "while all is well"
touch ill2
write_all "without drive 2"
out_are 2
holds 'j["array"]["health"] == "degraded" and j["array"]["state"] == "open"'
holds 'any("disk2" in r and "is out" in r for r in j["array"]["health_reasons"])'
grep -q "disk2: qlc drive 2 is out" serve.err || fail "the log does not say that drive 2 is out"
touch ill5
write_all "without drives 2 and 5"
out_are "2, 5"
holds 'j["array"]["health"] == "unprotected" and j["protection"]["none"] > 0'
expect 0 "$QLCSHAPE" volume create array.toml v1 --size 4KiB
kill_server

# Both are still ill: it opens without them.
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong after the kill, without drives 2 and 5"
expect 0 "$QLCSHAPE" status array.toml --json
holds '[d["index"] for d in j["devices"] if d["state"] != "online"] == [2, 5]'
holds 'all("Input/output error" in d["last_error"] for d in j["devices"] if d["state"] != "online")'
holds '[d["index"] for d in j["devices"] if d["state"] == "failed"][0] == 2'
# Drive 5 is found to fail by what is written to it first, which depends on the moment of the kill.
grep -q "disk2: .*the array is open without this drive" serve.err ||
    fail "the log does not say that drive 2 was left out"
grep -Eq "disk5: .*the array is open without this drive|drive 5 (is|stays) out" serve.err ||
    fail "the log does not say that drive 5 is out"
write_all "after the kill, without drives 2 and 5"
stop_server
holds 'j["array"]["health"] == "unprotected"'

# Both are well again: they are taken back, and what they missed is written once more.
rm ill2 ill5
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong after the kill"
wait_for_parity "what was written without drives"
holds 'j["array"]["health"] == "ok"'

# One fails when nothing but the closing is left to write.
touch ill0
stop_server
holds 'j["array"]["state"] == "clean"'
rm ill0
expect 0 "$QLCSHAPE" check array.toml

# Three at once are too many: it stops, says so, and what was acknowledged is there afterwards.
start_server
touch ill0 ill2 ill5
code=0  # one request at a time: see docs/nbd.md of clients that leave without reading replies
nbdcopy --synchronous --flush image "$URI" >out 2>err || code=$?
[[ $code != 0 ]] || fail "writing went on without three drives"
pgrep -P "$server" nbdkit >/dev/null || { cp serve.err err; fail "the server ended"; }
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["array"]["state"] == "failed" and j["array"]["health"] == "failed"'
rm ill0 ill2 ill5
kill -TERM "$server"
ended "$server" && fail "the server says that it closed the array in order"
server=
start_server
write_all "after three drives failed"
stop_server
expect 0 "$QLCSHAPE" check array.toml

# Of one only the path is left: what serves it was killed.
pkill -KILL -f "nbdfuse .*socket=$WORK/disk2.sock" || fail "nobody serves disk2"
start_server
expect 0 "$QLCSHAPE" status array.toml --json
holds '[d["index"] for d in j["devices"] if d["state"] == "failed"] == [2]'
holds 'any("disk2: can" in r and "the drive is gone" in r for r in j["array"]["health_reasons"])'
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong without drive 2"
stop_server
