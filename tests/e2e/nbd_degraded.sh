#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two QLC drives gone: everything can be read and written, also after a kill. They come back: what
# was written meanwhile is written once more, with all of its parity, and then any other two may go.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
bytes=$(writable)
expect 0 "$QLCSHAPE" volume create array.toml v0 --size "$bytes"
head -c "$bytes" /dev/urandom >image
start_server
expect 0 nbdcopy image "$URI"
stop_server

mkdir away
served_without() {
    for i in "$@"; do mv "qlc$i.img" away/; done
    start_server
    expect 2 nbdinfo --is read-only "$URI"
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong without drives $*"
}
for pair in "0 5" "1 2" "3 4"; do
    # shellcheck disable=SC2086
    served_without $pair
    expect 0 "$QLCSHAPE" status array.toml --json
    holds 'j["array"]["health"] == "unprotected" and not j["array"]["read_only"]'
    holds 'j["protection"]["none"] > 0 and j["protection"]["two"] == 0'
    # A quarter of it is another one from now on.
    dd if=/dev/urandom of=image bs=64k count=$((bytes / 4 / 65536)) seek=$((RANDOM % 32)) \
        conv=notrunc status=none
    expect 0 nbdcopy image "$URI"
    kill_server
    start_server
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong after a kill without drives $pair"
    stop_server
    mv away/* .
    start_server
    wait_for_parity "what was written without drives $pair"
    holds 'j["array"]["health"] == "ok"'
    stop_server
    expect 0 "$QLCSHAPE" check array.toml
done
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong with all drives"
stop_server

# Written without two drives, then two others go as well: refused by name, and nothing is changed.
served_without 0 1
expect 0 nbdcopy image "$URI"
stop_server
mv qlc2.img qlc3.img away/
mv away/qlc0.img away/qlc1.img .
sha256sum ./*.img >before
expect 2 "$QLCSHAPE" bench array.toml --volume v0 --rw randwrite --size 1m
says "strips that its data takes" "qlc drives 2, 3" "reconnect"
sha256sum --quiet -c before || fail "an opening that was refused wrote"
mv away/* .
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong with all drives again"
stop_server
