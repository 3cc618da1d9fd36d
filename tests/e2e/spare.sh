#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Spares take the places of drives that are taken out or missing, through kills of the server, by an
# array file that nobody changes meanwhile.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

array_file
for spare in a b c; do
    printf '\n[[device]]\nrole = "spare"\npath = "spare_%s.img"\nsize = "24MiB"\n' $spare
done >>array.toml
printf '\n[[device]]\nrole = "spare"\npath = "small.img"\nsize = "16MiB"\n' >>array.toml
cat >on_event <<'END'
#!/bin/sh
echo "$QLCSHAPE_EVENT ${QLCSHAPE_DEVICE##*/} $QLCSHAPE_ARRAY: $QLCSHAPE_MESSAGE" >>"$(dirname "$0")/events"
END
chmod +x on_event
sed -i "s|^\[array\]|[engine]\nspare_after = \"1s\"\non_event = \"$PWD/on_event\"\n\n[array]|" array.toml
create_v0

# ROLE INDEX PATH: that the drive is this one, and serves.
serves_as() {
    wait_for "[d['path'].split('/')[-1] for d in j['devices'] if d['role'] == '$1' and
        d['index'] == $2 and d['state'] == 'online'] == ['$3']" "$1 drive $2 is not $3"
}
spares_are() {
    wait_for "sorted(d['path'].split('/')[-1] for d in j['devices'] if d['role'] == 'spare' and
        d['state'] == 'spare') == sorted('$*'.split())" "the spares are not $*"
}

comes() { # EVENT...: that the command for events got it
    for _ in {1..100}; do
        ! grep -q "^$1" events 2>/dev/null || return 0
        sleep 0.1
    done
    fail "no event $1: $(cat events)"
}

# Taken out: at once, and the log names both.
spares_are spare_a.img spare_b.img spare_c.img small.img
start_server
expect 0 nbdcopy --flush image "$URI"
expect 0 "$QLCSHAPE" fail array.toml qlc1.img
serves_as qlc 1 spare_a.img
wait_for_parity "what qlc1.img had"
holds 'j["array"]["health"] == "ok"'
spares_are spare_b.img spare_c.img small.img
grep -q "spare_a.img: it was a spare, and is qlc drive 1 now" serve.err || fail "no word of it"
comes "drive_replaced spare_a.img e2e: qlc drive 1"
expect 0 "$QLCSHAPE" status array.toml
grep -Eq "^ *spare +spare +24 MiB" out || fail "status shows no spare"
expect 2 "$QLCSHAPE" replace array.toml qlc3.img spare_a.img
says "spare_a.img: in use"
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong with a spare in use"
stop_server
serves_as qlc 1 spare_a.img
expect 0 "$QLCSHAPE" check array.toml

# Missing, and the server is killed as soon as anything is written to a spare.
rm qlc2.img scm0.img
for spare in spare_b.img small.img; do
    start_server
    for ((i = 0; i < 500; ++i)); do
        [[ -z $(head -c 64 $spare | tr -d '\0') ]] || break
        sleep 0.02
    done
    ((i < 500)) || fail "nothing is written to $spare"
    kill_server
done
start_server
expect 0 nbdcopy --flush image "$URI"
serves_as qlc 2 spare_b.img
serves_as scm 0 small.img
comes "drive_lost qlc2.img e2e: qlc drive 2"
wait_for_parity "what qlc2.img had"
spares_are spare_c.img
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong with three spares in use"

# One that somebody has put data on is left alone.
expect 0 "$QLCSHAPE" volume list array.toml
stop_server
printf data | dd of=spare_c.img conv=notrunc status=none
start_server
wait_for '[d["state"] for d in j["devices"] if d["role"] == "spare"] == ["failed"]' "it is not seen"
holds 'any("a spare must be empty" in r for r in j["array"]["health_reasons"])'
expect 0 "$QLCSHAPE" fail array.toml qlc0.img
sleep 3
expect 0 "$QLCSHAPE" status array.toml --json
holds '[d["state"] for d in j["devices"] if d["role"] == "qlc"][0] == "failed"'
[[ $(head -c 4 spare_c.img) == data ]] || fail "a spare with data on it was erased"

# By hand, and with the file as it should be: nothing of what is gone is left in it.
truncate -s 0 spare_c.img
truncate -s 24MiB spare_c.img
expect 0 "$QLCSHAPE" replace array.toml qlc0.img spare_c.img
wait_for_parity "what qlc0.img had"
stop_server
python3 - <<'END'
import re
text = open("array.toml").read()
parts = text.split("\n[[device]]\n")
spares = {"qlc1": "spare_a", "qlc2": "spare_b", "qlc0": "spare_c", "scm0": "small"}
for old, new in spares.items():
    parts = [p.replace(f'"{old}.img"', f'"{new}.img"') for p in parts if f'"spare"' not in p]
open("array.toml", "w").write("\n[[device]]\n".join(parts))
END
start_server
holds 'j["array"]["health"] == "ok"'
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong in the end"
stop_server
expect 0 "$QLCSHAPE" check array.toml

# An array is not made with a spare that could not serve.
rm -f ./*.img array.toml
array_file
printf '\n[[device]]\nrole = "spare"\npath = "tiny.img"\nsize = "1MiB"\n' >>array.toml
expect 2 "$QLCSHAPE" create array.toml
says "tiny.img: its size is 1 MiB"
[[ ! -e qlc0.img && ! -e tiny.img ]] || fail "files of a refused create are left"
