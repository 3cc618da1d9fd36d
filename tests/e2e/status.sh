#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Line 1 of status and its exit code where something is wrong, and the same in a server's log.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 32MiB
expect 0 "$QLCSHAPE" status array.toml --exit-code
grep -q '^array  *e2e  clean  ' <(head -1 out) || fail "line 1 of a healthy array"

line_1() { [[ $(head -1 out) == "$1" ]] || fail "line 1 is not: $1"; }
logged() { grep -qF -- "$1" serve.err || fail "the server does not log: $1; but: $(cat serve.err)"; }

# Killed: nobody has it open. The next server says that it recovered it.
start_server
expect 0 "$QLCSHAPE" status array.toml --json --exit-code
holds 'j["array"]["state"] == "open" and j["array"]["live"] and j["array"]["health"] == "ok"'
kill_server
expect 1 "$QLCSHAPE" status array.toml --exit-code
line_1 "CRASHED: not closed cleanly; the next opening recovers it"
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["array"]["state"] == "crashed" and j["recovery"]["kind"] in ("snapshot", "full")'
start_server
logged "had not been closed cleanly, and was recovered"

# A drive that can't be read any more does not keep the server from answering.
mv scm0.img away.img
mkdir scm0.img
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["array"]["live"]'
stop=$server
kill -TERM "$stop"
ended "$stop" || fail "exit $?"
server=
expect 1 "$QLCSHAPE" status array.toml --exit-code
grep -q '^FAILED: scm drive 0 can.t be used: scm0.img: ' <(head -1 out) || fail "which drive can't be read?"
rmdir scm0.img
mv away.img scm0.img

# A missing drive, closed and served.
mv qlc2.img away.img
degraded="DEGRADED: qlc drive 2 is missing (qlc2.img)"
expect 1 "$QLCSHAPE" status array.toml --exit-code
protection="of [0-9]+ bands in use, [0-9]+ can lose one more qlc drive and 0 can't lose any"
[[ $(head -1 out) =~ ^"$degraded; "$protection$ ]] || fail "line 1 is: $(head -1 out)"
start_server
# The server knows its drives by their whole paths.
logged "${degraded%%(*}"
logged "/qlc2.img)"
served_line_1() {
    local line
    line=$(head -1 out)
    [[ $line == "${degraded%%(*}("*"/qlc2.img); of "* ]] || fail "line 1 of a served array: $line"
}
expect 1 "$QLCSHAPE" status array.toml --exit-code
served_line_1
expect 0 "$QLCSHAPE" top array.toml
served_line_1
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["array"]["state"] == "open" and not j["array"]["read_only"] and j["array"]["health"] == "degraded"'
holds '[r.startswith("qlc drive 2 is missing (") for r in j["array"]["health_reasons"]] == [True, False]'
kill -TERM "$server"
ended "$server" || fail "exit $?"
server=

# With one SCM drive nothing is mirrored.
rm -f ./*.img
sed -i '/scm1.img/,$d' array.toml
sed -i '$d' array.toml
sed -i '$d' array.toml
# Of a larger drive a part stays unused.
sed -i '0,/"24MiB"/s//"32MiB"/' array.toml
expect 0 "$QLCSHAPE" create array.toml
grep -q '^UNPROTECTED: there is only one scm drive' out || fail "create: one scm drive without a word"
grep -q '^unused .*8 MiB of qlc drive 0 (qlc0.img)' out || fail "create: an uneven drive without a word"
expect 1 "$QLCSHAPE" status array.toml --exit-code
grep -q '^UNPROTECTED: there is only one scm drive' <(head -1 out) || fail "one scm drive without a word"
grep -q '^unused .*8 MiB of qlc drive 0 (qlc0.img)' out || fail "an uneven drive without a word"
