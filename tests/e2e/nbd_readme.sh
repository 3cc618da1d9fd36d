#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The README's lines that end in a mounted XFS, run as they stand there.
E2E=$(cd "$(dirname "$0")" && pwd)
source "$E2E/lib.bash"
source "$E2E/nbd.bash"
source "$E2E/loop.bash"
array_file 160MiB
PATH=$(dirname "$QLCSHAPE"):$PATH
expect 0 "$QLCSHAPE" create array.toml

sed -n '/^<!-- run by tests\/e2e\/nbd_readme.sh -->$/,/^```$/p' "$E2E/../../README.md" | sed '1,2d;$d' >lines
[[ $(wc -l <lines) == 10 ]] || fail "not ten lines in the README: $(cat lines)"
naps=0
sleep() { # a wait that never ends must not hang the test
    ((++naps < 300)) || fail "it waits for ever"
    command sleep "$1"
}
source ./lines
server=$(jobs -p %1)
[[ $(findmnt -n -o FSTYPE mnt) == xfs ]] || fail "no XFS at mnt"
head -c 20M /dev/urandom >data
cp data mnt/
sync
cmp data mnt/data
expect 0 umount mnt
expect 0 losetup -d "$loop"
loop=
expect 0 umount disk
stop_server
expect 0 "$QLCSHAPE" check array.toml
