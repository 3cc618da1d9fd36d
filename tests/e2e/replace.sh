#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# QLC drives of a closed array are replaced by empty ones, which have everything that belongs on
# them soon after an opening.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

serve_image
stop_server

# heals: everything is there, and has its parity again.
heals() {
    start_server
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong after a drive was replaced"
    wait_for_parity "what the old drive had"
    holds 'j["array"]["health"] == "ok"'
    stop_server
    expect 0 "$QLCSHAPE" check array.toml
}

mkdir away
mv qlc2.img away/
expect 0 "$QLCSHAPE" replace array.toml qlc2.img new2.img --size 24MiB --json
holds 'j["verb"] == "replace" and j["index"] == 2 and j["path"] == "new2.img"'
new_path qlc2.img new2.img
heals

# The new one has its part: without two others everything can be read.
mv qlc0.img qlc1.img away/
expect 1 "$QLCSHAPE" check array.toml
grep -q "^2 problems" out || fail "more than two missing drives"
start_server --read-only
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong without drives 0 and 1"
kill -TERM "$server"
ended "$server" || fail "the server ended with an error"
server=
mv away/qlc0.img away/qlc1.img .

# The old one is no member any more.
cp array.toml with_old.toml
sed -i 's/new2.img/away\/qlc2.img/' with_old.toml
expect 2 "$QLCSHAPE" check with_old.toml
says "away/qlc2.img" "no longer a member"

# One that is still there; one of the same path; one of two that are missing, by its UUID.
# The array file may be in another folder than the operator.
expect 0 "$QLCSHAPE" replace "$WORK/array.toml" qlc1.img new1.img --size 24MiB
grep -q "new1.img is qlc drive 1 now" out || fail "it does not say which drive it is"
new_path qlc1.img new1.img
heals
rm qlc3.img
expect 0 "$QLCSHAPE" replace array.toml qlc3.img qlc3.img --size 24MiB
heals
expect 0 "$QLCSHAPE" status array.toml --json
uuid=$(python3 -c 'import json; print([d["uuid"] for d in json.load(open("out"))["devices"]
    if d["role"] == "qlc" and d["index"] == 5][0])')
rm qlc4.img qlc5.img
expect 2 "$QLCSHAPE" replace array.toml qlc4.img new4.img --size 24MiB
says "more than one" "UUID"
[[ ! -e new4.img ]] || fail "a file is left of what was refused"
expect 2 "$QLCSHAPE" replace array.toml "$uuid" qlc0.img --size 24MiB
says "it is a device of the array already"
# Also where the new one has the path of the old one.
expect 0 "$QLCSHAPE" replace array.toml "$uuid" qlc5.img --size 24MiB
mv qlc5.img new5.img
new_path qlc5.img new5.img
expect 0 "$QLCSHAPE" replace array.toml qlc4.img new4.img --size 24MiB
new_path qlc4.img new4.img
heals

# Refused: nothing has changed.
for arguments in "scm0.img new.img" "other.img new.img" "qlc0.img new5.img" "qlc0.img image" \
    "qlc0.img small.img"; do
    # shellcheck disable=SC2086  # words
    expect 2 "$QLCSHAPE" replace array.toml $arguments --size 8MiB
done
expect 2 "$QLCSHAPE" replace array.toml qlc0.img memory:new --size 24MiB
says "memory devices end"
expect 2 "$QLCSHAPE" replace array.toml qlc0.img missing.img
for file in new.img small.img missing.img; do [[ ! -e $file ]] || fail "$file is left"; done
expect 0 "$QLCSHAPE" check array.toml
mv qlc3.img new5.img away/
start_server
expect 0 nbdcopy --flush image "$URI"
stop_server
mv away/qlc3.img away/new5.img .
expect 2 "$QLCSHAPE" replace array.toml new4.img new.img --size 24MiB
says "can't be read without qlc drive 4"
heals
start_server
kill_server
expect 2 "$QLCSHAPE" replace array.toml new4.img new.img --size 24MiB
says "was not closed cleanly"
heals
