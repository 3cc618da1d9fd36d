#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two QLC drives and an SCM drive fail under a server that is written, and are replaced while it is;
# then drives that work, and one that was missing. The server is killed in the middle of such
# replacements.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
source "$(dirname "$0")/loop.bash"
source "$(dirname "$0")/ill.bash"

array_file
for i in 2 5; do ill_member "qlc$i.img" "disk$i" 24M "ill$i" all; done
ill_member scm1.img disk_s 24M ill_s writes
create_v0
start_server

# write_all: new contents everywhere, one block after the other, until the file stop is there;
# image has what the volume does then.
write_all() {
    until [[ -e stop ]]; do
        head -c "$bytes" /dev/urandom >image
        nbdcopy --flush image "$URI" || exit 1
    done
}
begin_load() {
    rm -f stop
    write_all 2>load.err &
    load=$!
}
# end_load WHEN: nothing failed, and everything is there.
end_load() {
    touch stop
    ended "$load" || fail "a write failed $1: $(cat load.err)"
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong $1"
}
out_are() {
    expect 0 "$QLCSHAPE" status array.toml --json
    holds "[d['index'] for d in j['devices'] if d['state'] != 'online'] == [$1]"
}

begin_load
touch ill2
for i in {1..100}; do
    expect 0 "$QLCSHAPE" status array.toml --json
    ! grep -q '"state": "out"' out || break
    sleep 0.1
done
touch ill5 ill_s
end_load "while three drives failed"
begin_load
out_are "2, 5, 1"
expect 0 "$QLCSHAPE" replace array.toml disk_s new_s.img --size 24MiB
grep -q "new_s.img is scm drive 1 now, with all that the others have" out ||
    fail "it does not say which drive it is"
new_path disk_s new_s.img
out_are "2, 5"
expect 0 "$QLCSHAPE" replace array.toml disk2 new2.img --size 24MiB --json
holds 'j["role"] == "qlc" and j["index"] == 2 and j["path"] == "new2.img"'
out_are "5"  # by the array file of before
new_path disk2 new2.img
out_are "5"
expect 2 "$QLCSHAPE" replace array.toml new2.img scm0.img --size 24MiB
expect 0 "$QLCSHAPE" replace array.toml disk5 "$WORK/new5.img" --size 24MiB
grep -q "new5.img is qlc drive 5 now, and empty" out || fail "it does not say which drive it is"
grep -q "is rebuilt from now on" out || fail "it does not say that parity comes back"
new_path disk5 new5.img
end_load "while three drives were replaced"
wait_for_parity "what two drives had"
holds 'j["array"]["health"] == "ok"'

# One that works; refusals change nothing.
begin_load
for arguments in "scm0.img new.img" "other.img new.img" "qlc0.img qlc1.img" "qlc0.img image" \
    "qlc0.img small.img"; do
    # shellcheck disable=SC2086  # words
    expect 2 "$QLCSHAPE" replace array.toml $arguments --size 8MiB
done
for file in new.img small.img; do [[ ! -e $file ]] || fail "$file is left"; done
out_are ""
expect 0 "$QLCSHAPE" replace array.toml qlc0.img new0.img --size 24MiB
new_path qlc0.img new0.img
expect 0 "$QLCSHAPE" replace array.toml scm0.img new_t.img --size 24MiB --json
holds 'j["role"] == "scm" and j["index"] == 0 and j["path"] == "new_t.img"'
new_path scm0.img new_t.img
end_load "while drives that work were replaced"
wait_for_parity "what the drive had"
stop_server
! grep -E "(qlc0|scm0).img: .* takes no writes" serve.err || fail "a drive that works did not take writes"
! grep -E "[0-9]{12,} transfers" serve.err || fail "failures of a drive that is gone are counted"
expect 0 "$QLCSHAPE" check array.toml

# The new ones have their part: without two others, or with either SCM drive, everything can be read.
mkdir away
mv qlc1.img qlc3.img new_s.img away/
start_server --read-only
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong without drives 1 and 3"
kill -TERM "$server"
ended "$server" || fail "the server ended with an error"
mv away/qlc1.img away/new_s.img .

# A missing one, by its UUID, and the server is killed meanwhile; what is there afterwards opens.
start_server
begin_load
out_are "3"
uuid=$(python3 -c 'import json; print([d["uuid"] for d in json.load(open("out"))["devices"]
    if d["state"] == "missing"][0])')
expect 0 "$QLCSHAPE" replace array.toml "$uuid" new3.img --size 24MiB
new_path qlc3.img new3.img
end_load "while a missing drive was replaced"
stop_server
rounds=${QLCSHAPE_KILLS:-4}
olds=(new3.img new_t.img)
for ((round = 1; round <= rounds; ++round)); do
    old=${olds[round % 2]}
    start_server
    begin_load
    new=kill$round.img
    "$QLCSHAPE" replace array.toml "$old" "$new" --size 24MiB >replaced 2>&1 &
    replacing=$!
    sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
    kill_server
    ended "$replacing" || true
    touch stop
    wait "$load" || true
    if ! "$QLCSHAPE" check array.toml >out 2>&1 && grep -q "$old: it is no longer a member" out; then
        new_path "$old" "$new"
        olds[round % 2]=$new
    else
        rm -f "$new"
    fi
    start_server
    expect 0 nbdcopy --flush image "$URI"
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong after kill $round"
    wait_for_parity "what a drive had after kill $round"
    holds 'j["array"]["health"] == "ok"'
    stop_server
    expect 0 "$QLCSHAPE" check array.toml
done
