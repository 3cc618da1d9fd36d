#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A drive is taken out by hand, in an array that is served and in one that is closed: it stays out
# until it is replaced, by another one or by itself.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

array_file
create_v0
head -c "$bytes" /dev/urandom >image

state_is() { # INDEX ROLE STATE
    expect 0 "$QLCSHAPE" status array.toml --json
    holds "[d['state'] for d in j['devices'] if d['index'] == $1 and d['role'] == '$2'] == ['$3']"
}

# Served: requests go on, and the drive does not come back.
start_server
expect 0 nbdcopy --flush image "$URI"
expect 0 "$QLCSHAPE" fail array.toml qlc1.img
grep -q "qlc1.img: qlc drive 1 is out, and stays out until it is replaced" out || fail "what it says"
state_is 1 qlc failed
holds 'any("was taken out by" in r and "replace it" in r for r in j["array"]["health_reasons"])'
expect 0 "$QLCSHAPE" fail array.toml scm1.img --json
holds 'j["verb"] == "fail" and j["role"] == "scm" and j["index"] == 1'
expect 2 "$QLCSHAPE" fail array.toml scm0.img
says "scm drive 0"
expect 2 "$QLCSHAPE" fail array.toml image
says "no such drive"
expect 0 "$QLCSHAPE" fail array.toml qlc2.img
expect 2 "$QLCSHAPE" fail array.toml qlc3.img
says "qlc drive 3"
head -c "$bytes" /dev/urandom >image
expect 0 nbdcopy --flush image "$URI"
sleep 12 # it looks for drives that are out every ten seconds
state_is 1 qlc failed
state_is 1 scm failed
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong without three drives"
! grep -q "qlc drive 1 is out" serve.err || fail "the log warns of what was asked for"
stop_server

# Closed, and opened again.
state_is 1 qlc failed
expect 1 "$QLCSHAPE" status array.toml --exit-code
expect 1 "$QLCSHAPE" devices . --json
holds '[m["state"] for m in j["arrays"][0]["members"]].count("failed") == 3'
expect 1 "$QLCSHAPE" check array.toml --json
holds 'j["problems_found"] == 3 and all("drive" in p for p in j["problems"])'
start_server
grep -q "qlc1.img: it was taken out by" serve.err || fail "the opening does not name it"
state_is 2 qlc failed
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong after it was opened again"

# Another one, and the same ones, erased.
expect 2 "$QLCSHAPE" replace array.toml qlc2.img qlc2.img
expect 0 "$QLCSHAPE" replace array.toml qlc2.img qlc2.img --force
expect 0 "$QLCSHAPE" replace array.toml qlc1.img new1.img --size 24MiB
expect 0 "$QLCSHAPE" status array.toml # whose file still names the old one
new_path qlc1.img new1.img
expect 0 "$QLCSHAPE" replace array.toml scm1.img scm1.img --force
wait_for_parity "what three drives had"
holds 'j["array"]["health"] == "ok"'
holds 'j["bytes"]["qlc_rebuild"] > 0'
stop_server
expect 0 "$QLCSHAPE" check array.toml

# No process has it open.
expect 0 "$QLCSHAPE" fail array.toml qlc4.img
state_is 4 qlc failed
expect 0 "$QLCSHAPE" replace array.toml qlc4.img qlc4.img --force
start_server
wait_for_parity "what a drive had"
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong in the end"
stop_server
expect 0 "$QLCSHAPE" check array.toml
