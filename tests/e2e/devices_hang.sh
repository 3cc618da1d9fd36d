#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What doesn't answer is named, and nothing waits for it for ever: a file whose FUSE server hangs, so
# that it can't even be opened, or whose reads hang.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
source "$(dirname "$0")/loop.bash"
command -v nbdfuse >/dev/null || { echo "SKIPPED: no nbdfuse"; exit 77; }

backing= fuse=
end_fuse() {
    for pid in $backing $fuse; do kill -CONT "$pid" 2>/dev/null || true; done
    end_loop # unmounts disk
}
trap end_fuse EXIT

array_file
expect 0 "$QLCSHAPE" create array.toml
nbdkit --exit-with-parent --foreground -U "$WORK/backing.sock" memory 16M >backing.out 2>&1 &
backing=$!
until [[ -S backing.sock ]]; do sleep 0.1; done
touch disk
nbdfuse disk "nbd+unix:///?socket=$WORK/backing.sock" >fuse.out 2>&1 &
fuse=$!
until [[ -s disk ]]; do sleep 0.1; done
expect 0 "$QLCSHAPE" devices disk array.toml

kill -STOP "$fuse"
expect 0 "$QLCSHAPE" devices qlc?.img scm?.img disk --json
holds 'j["arrays"][0]["complete"] and [u["path"] for u in j["unreadable"]] == ["disk"]'
holds '"answer" in j["unreadable"][0]["why"]'
sed 's/qlc1.img/disk/' array.toml >hung.toml
for verb in "status hung.toml" "check hung.toml"; do
    # shellcheck disable=SC2086  # words
    timeout -k 5 200 "$QLCSHAPE" $verb >out 2>err && code=0 || code=$?
    [[ $code != 124 && $code != 137 ]] || fail "$verb waits for ever"
    cat out err | grep -q "disk: .*answer" || fail "$verb does not name the drive: $(cat out err)"
done
# opens_without: served, with that drive left out.
opens_without() {
    rm -f out
    "$QLCSHAPE" serve hung.toml --volume v --socket "$WORK/s.sock" >out 2>err &
    server=$!
    for _ in {1..600}; do
        [[ ! -s out ]] || break
        sleep 0.1
    done
    [[ -s out ]] || fail "it does not open without the drive: $(cat out err)"
    cat out err | grep -q "disk: .*answer.*; the array is open without this drive" ||
        fail "serve does not name the drive: $(cat out err)"
    kill -TERM "$server"
    # The kernel may keep its process for the drive; the array is closed nevertheless.
    wait "$server" || grep -q "the kernel keeps its process until a drive answers" err ||
        fail "the server ended with an error: $(cat out err)"
    server=
}
expect 0 "$QLCSHAPE" volume create array.toml v --size 4MiB
opens_without
kill -CONT "$fuse"
expect 0 "$QLCSHAPE" devices disk

# It can be opened, but nothing of it can be read.
kill -STOP "$backing"
opens_without
kill -CONT "$backing"
expect 0 "$QLCSHAPE" devices disk
