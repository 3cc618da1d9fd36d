#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A client that stays connected keeps neither serve nor plain nbdkit from ending: after a grace it is disconnected, and
# the array is closed cleanly.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 16MiB

# stay: a client that writes a block, then does nothing until it is disconnected.
stay() {
    rm -f staying
    "$PYTHON" - "$URI" <<'PYTHON' &
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.pwrite(b"7" * 4096, 0)
open("staying", "w").close()
h.poll(120000)
PYTHON
    client=$!
    for _ in {1..600}; do [[ ! -e staying ]] && sleep 0.1 || break; done
    [[ -e staying ]] || fail "no client"
}

start_server
stay
stop_server
ended $client || fail "the client was not disconnected"

nbdkit -f -U "$SOCKET" "$PLUGIN" array=array.toml volume=v0 2>nbdkit.err &
server=$!
for _ in {1..600}; do nbdinfo --size "$URI" >size 2>/dev/null && break || sleep 0.1; done
stay
kill -TERM "$server"
ended "$server" || fail "nbdkit ended with $?: $(cat nbdkit.err)"
server=
ended $client || fail "the client was not disconnected"
rm -f "$SOCKET"

# Who leaves in time is not waited for.
start_server
begun=$SECONDS
stop_server
((SECONDS - begun < 5)) || fail "it waited for nobody"
start_server
expect 0 qemu-io -f raw "$URI" -c "read -P 55 0 4k"
stop_server
