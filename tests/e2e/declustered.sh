#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nine drives for stripes of six strips: what a lost drive had is rebuilt on the others, without a
# spare drive, under load and through kills; after that two more may be lost, and come back.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

array_file
sed -i 's|^\[array\]|[engine]\nspare_after = "1s"\n\n[array]|' array.toml
for i in 6 7 8; do
    printf '\n[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "24MiB"\n' $i
done >>array.toml

# More than there are drives for can't be kept free.
sed 's/^name.*/&\nspare_drives = 4/' array.toml >more.toml
expect 2 "$QLCSHAPE" create more.toml
says "spare_drives is 4" "at most 3"
[[ ! -e qlc0.img ]] || fail "a refused create left files"

create_v0
expect 0 "$QLCSHAPE" devices ./*.img
grep -q "4+2 on 9 qlc" out || fail "devices does not say how many drives there are"
start_server
expect 0 nbdcopy --flush image "$URI"
expect 0 "$QLCSHAPE" status array.toml --json
holds '(lambda n: max(n) - min(n))([d["bands"] for d in j["devices"] if d["role"] == "qlc"]) <= 2'

# bands_of DRIVE COMPARISON: how many have a column there.
bands_of() { wait_for "[d['bands'] $2 for d in j['devices'] if d['path'].endswith('$1')] == [True]"; }

# Taken out by hand: at once.
expect 0 "$QLCSHAPE" fail array.toml qlc1.img
bands_of qlc1.img "== 0"
wait_for_parity "what qlc1.img had"
holds 'j["array"]["health"] == "degraded"'
holds 'any("qlc drive 1" in r and "the other drives have what it had" in r
           for r in j["array"]["health_reasons"])'
grep -q "qlc drive 1 is lost: what it had is rebuilt on the other drives" serve.err ||
    fail "no word of it"
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong after what qlc1.img had was rebuilt"

# There is no room for what a second one had: it is missed, and may come back.
kill_server
mv qlc3.img away.img
start_server
for _ in {1..100}; do
    ! grep -q "no room on the other drives for what qlc drive 3 had" serve.err || break
    sleep 0.1
done
grep -q "no room on the other drives for what qlc drive 3 had" serve.err || fail "no word of no room"
bands_of qlc1.img "== 0"
head -c "$bytes" /dev/urandom >image
expect 0 nbdcopy --flush image "$URI"
stop_server

# A third: as many as parity covers are missed.
mv qlc7.img gone.img
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong with three of nine drives lost"
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["array"]["health"] == "unprotected"'
mv away.img qlc3.img
mv gone.img qlc7.img
wait_for "sum(d['state'] == 'online' for d in j['devices'] if d['role'] == 'qlc') == 8"
wait_for_parity "what the drives that are back missed"
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong with drives that are back"
stop_server
expect 1 "$QLCSHAPE" check array.toml
grep -q "^1 problem$" out || fail "more than a drive that was taken out"

# The one that was taken out is replaced, and gets its share of what is written then.
truncate -s 24MiB new.img
expect 0 "$QLCSHAPE" replace array.toml qlc1.img new.img
new_path qlc1.img new.img
start_server
for _ in 1 2; do expect 0 nbdcopy --flush image "$URI"; done
bands_of new.img "> 5"
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["array"]["health"] == "ok"'
stop_server
expect 0 "$QLCSHAPE" check array.toml
