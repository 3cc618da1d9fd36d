#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# With two QLC drives gone the volume is exported for reading, whole; the next start has all again.
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
for pair in "0 5" "1 2" "3 4"; do
    for i in $pair; do mv "qlc$i.img" away/; done
    start_server
    expect 0 nbdinfo --is read-only "$URI"
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong without drives $pair"
    expect 1 qemu-io -f raw "$URI" -c "write 0 4k"
    kill -TERM "$server"
    ended "$server" || fail "exit $?"
    server=
    mv away/* .
done
start_server
expect 0 qemu-io -f raw "$URI" -c "write -P 1 0 4k" -c "read -P 1 0 4k"
stop_server
expect 0 "$QLCSHAPE" check array.toml
