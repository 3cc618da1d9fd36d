#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Eight drives for stripes of six strips: one is drained while it is served, through kills, and
# removed; another is added in its place. At no time does a band lack a strip.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

array_file
for i in 6 7; do
    printf '\n[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "24MiB"\n' $i
done >>array.toml
create_v0

# of PATH EXPRESSION: an expression of status, on the drive d.
of() { echo "[$2 for d in j['devices'] if d['path'].endswith('$1')] == [True]"; }
# whole: nothing lacks a strip, and nobody is told of any trouble.
whole() {
    expect 0 "$QLCSHAPE" status array.toml --json
    holds 'j["protection"]["one"] + j["protection"]["none"] == 0 and j["array"]["health"] == "ok"'
}
# rewrite: new contents, read back.
rewrite() {
    head -c "$bytes" /dev/urandom >image
    expect 0 nbdcopy --flush image "$URI"
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong $1"
}

# unname PATH: takes it out of the array file.
unname() {
    "$PYTHON" - "$1" <<'PYTHON'
import sys
parts = open("array.toml").read().split("[[device]]")
left = [part for part in parts if f'path = "{sys.argv[1]}"' not in part]
assert len(left) == len(parts) - 1
open("array.toml", "w").write("[[device]]".join(left))
PYTHON
}

start_server
rewrite "before anything"

# What can't be is refused, and says what to do.
expect 2 "$QLCSHAPE" remove array.toml qlc1.img
says "qlc drive 1 is in use: drain it first (\`qlcshape drain\`)"
expect 2 "$QLCSHAPE" drain array.toml scm0.img
says "only qlc drives can be drained"
expect 2 "$QLCSHAPE" add array.toml other.img --size 24MiB
says "no place is vacant"
[[ ! -e other.img ]] || fail "a refused add left a file"

expect 0 "$QLCSHAPE" drain array.toml qlc1.img
grep -q "qlc drive 1 is being drained; .* says when it can be removed" out || fail "no word"
whole
kill_server
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong after the kill"
whole
holds "$(of qlc1.img "d['state'] in ('draining', 'online')")"
expect 0 "$QLCSHAPE" drain array.toml qlc1.img  # it is, or begins
rewrite "while it is drained"
wait_for "$(of qlc1.img "d['bands'] == 0")"
whole
expect 0 "$QLCSHAPE" status array.toml
grep -q "drain qlc drive 1 (.*qlc1.img): no band has anything there any more: remove it" out ||
    fail "status does not say that it can be removed"
expect 2 "$QLCSHAPE" drain array.toml qlc2.img
says "spare_drives = 1"

expect 0 "$QLCSHAPE" remove array.toml qlc1.img --json
grep -q '"index": 1' out || fail "which one was removed is not said"
mv qlc1.img gone.img
whole
holds "[d['state'] for d in j['devices'] if d['index'] == 1 and d['role'] == 'qlc'] == ['removed']"
rewrite "without the one that was removed"
stop_server
expect 0 "$QLCSHAPE" check array.toml
unname qlc1.img
expect 0 "$QLCSHAPE" devices ./qlc*.img ./scm*.img
grep -q "complete" out || fail "devices misses the drive that was removed"
expect 0 "$QLCSHAPE" status array.toml

# Two more may be lost.
mv qlc2.img away2.img
mv qlc3.img away3.img
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong without two more"
stop_server
mv away2.img qlc2.img
mv away3.img qlc3.img

# While the array is closed, and while it is open, another one is added.
for open in no yes; do
    [[ $open == no ]] || start_server
    expect 0 "$QLCSHAPE" add array.toml "new_$open.img" --size 24MiB
    grep -q "new_$open.img is qlc drive 1 now" out || fail "add does not say which drive it is"
    printf '\n[[device]]\nrole = "qlc"\npath = "new_%s.img"\n' $open >>array.toml
    [[ $open == yes ]] || start_server
    wait_for_parity "what the others lacked"
    for _ in 1 2; do rewrite "with a drive that was added"; done
    expect 0 "$QLCSHAPE" status array.toml --json
    holds "$(of "new_$open.img" "d['bands'] > 5 and d['state'] == 'online'")"
    [[ $open == no ]] || break
    # Drained again, by halves; it goes on when it is told to.
    expect 0 "$QLCSHAPE" drain array.toml new_no.img
    expect 0 "$QLCSHAPE" drain array.toml new_no.img --stop
    expect 0 "$QLCSHAPE" status array.toml --json
    holds "$(of new_no.img "d['state'] == 'online'")"
    stop_server
    expect 0 "$QLCSHAPE" drain array.toml new_no.img
    grep -q "is to be drained; open the array" out || fail "no word of a closed array"
    expect 0 "$QLCSHAPE" status array.toml --json
    holds "$(of new_no.img "d['state'] == 'draining'")"
    start_server
    wait_for "$(of new_no.img "d['bands'] == 0")"
    stop_server
    expect 0 "$QLCSHAPE" remove array.toml new_no.img
    unname new_no.img
done
stop_server
expect 0 "$QLCSHAPE" check array.toml
