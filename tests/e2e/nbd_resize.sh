#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A volume grows and shrinks between servings, one of which was killed: what stays is what it was,
# what comes is zeroes, and the space that status tells of is right.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
writable=$(writable)
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 16MiB
expect 0 "$QLCSHAPE" volume create array.toml behind --size 4MiB
head -c 40M /dev/urandom >image

space() { # space PROMISED USED: MiB
    expect 0 "$QLCSHAPE" status array.toml --json
    holds "j['space']['promised_bytes'] == $1 << 20 and j['space']['used_bytes'] == $2 << 20"
    holds "j['space']['writable_bytes'] == $writable"
}
start_server
expect 0 "$PYTHON" - "$URI" <<'PYTHON'
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
with open("image", "rb") as image:
    for at in range(0, h.get_size(), 1 << 20):
        h.pwrite(image.read(1 << 20), at)
PYTHON
kill_server
expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 9MiB --yes # recovers the array
space 13 9
expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 40MiB
space 44 9
expect 0 "$QLCSHAPE" volume list array.toml --json
holds 'sorted(v["bytes"] for v in j["volumes"]) == [4 << 20, 40 << 20]'

start_server
[[ $(nbdinfo --size "$URI") == $((40 << 20)) ]] || fail "the size over NBD"
expect 0 nbdcopy "$URI" copy
truncate -s 9M image
truncate -s 40M image
cmp image copy || fail "not what it was, and zeroes"
stop_server
expect 0 "$QLCSHAPE" volume delete array.toml v0 --yes
space 4 0
expect 0 "$QLCSHAPE" check array.toml
