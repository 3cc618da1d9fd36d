#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Volumes of a served array are made, resized and deleted by the command while clients use others:
# what they use stays theirs, through a kill too.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 8MiB
at() { echo "nbd+unix:///$1?socket=$SOCKET"; }
sizes() { # sizes NAME=MIB...: all volumes that there are
    expect 0 "$QLCSHAPE" volume list array.toml --json
    holds "{v['name']: v['bytes'] >> 20 for v in j['volumes']} == dict($*)"
}

# Without --volume all are served, by their names, also those that are made later.
start_server_of
[[ $(cat uri) == "$(at v0)" ]] || fail "URI: $(cat uri)"
[[ $(nbdinfo --size "$URI") == $((8 << 20)) ]] || fail "the only volume is not the default"

fio --name=load --ioengine=nbd --uri="$(at v0)" --rw=randwrite --bs=4k --iodepth=16 --size=8m \
    --verify=crc32c --verify_fatal=1 --loops=1000 --runtime=12 --output=fio.out &
load=$!
until [[ $("$QLCSHAPE" status array.toml --json | grep -c '"user_written": 0,') == 0 ]]; do
    kill -0 $load || fail "no load: $(cat fio.out)"
    sleep 0.1
done
expect 0 "$QLCSHAPE" volume create array.toml v1 --size 12MiB
head -c 12M /dev/urandom >image
expect 0 nbdcopy image "$(at v1)"
expect 0 "$QLCSHAPE" volume resize array.toml v1 --size 20MiB
truncate -s 20M image
expect 0 nbdcopy "$(at v1)" copy
cmp image copy || fail "not what it was, and zeroes"
expect 0 "$QLCSHAPE" volume resize array.toml v1 --size 3MiB --yes
expect 0 "$QLCSHAPE" volume resize array.toml v1 --size 20MiB
truncate -s 3M image
truncate -s 20M image
expect 0 nbdcopy "$(at v1)" copy
cmp image copy || fail "what was cut off is not zeroes"
expect 1 nbdinfo --size "$URI" # of two none is the default
sizes v0=8,v1=20

# What a client has open is not taken away; what was asked for in vain is as it was.
expect 2 "$QLCSHAPE" volume delete array.toml v0 --yes
says "v0" "in use"
expect 2 "$QLCSHAPE" volume resize array.toml v0 --size 4MiB --yes --json
holds 'j["error"]["code"] == "busy"'
expect 2 "$QLCSHAPE" volume create array.toml v1 --size 4MiB
says "a volume with this name exists"
expect 2 "$QLCSHAPE" volume create array.toml v2 --size 1TiB
says "at most"
expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 9MiB
kill -0 $load || fail "the load did not live through it: $(cat fio.out)"
sizes v0=9,v1=20
expect 0 "$QLCSHAPE" top array.toml
! grep -q '^write  *0 B/s' out || fail "top sees no load"
wait $load || fail "fio: $(cat fio.out)"

# Deleted: gone for clients, and its space comes back while others are served.
expect 0 "$QLCSHAPE" volume delete array.toml v1 --yes
expect 1 nbdinfo --size "$(at v1)"
for _ in {1..1200}; do
    expect 0 "$QLCSHAPE" status array.toml --json
    ! grep -q "\"promised_bytes\": $((9 << 20))," out || break
    sleep 0.1
done
holds 'j["space"]["promised_bytes"] == 9 << 20 and j["array"]["live"]'

# Another user is not answered, whatever the modes of the drives.
if [[ $(id -u) == 0 ]]; then
    ask='import os, socket, sys
drive = os.stat("qlc0.img")
medium = f"file-{os.major(drive.st_dev)}:{os.minor(drive.st_dev)}-{drive.st_ino}"
if len(sys.argv) > 1: os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect("\0qlcshape/" + medium)
s.sendall(f"{medium}\ndelete v0".encode())
s.shutdown(socket.SHUT_WR)
print(s.recv(1000).decode())'
    expect 0 python3 -c "${ask/delete v0/delete v9}"
    grep -q "there is no volume with this name" out || fail "this user is not answered: $(cat out)"
    timeout 20 python3 -c "$ask" nobody >out 2>/dev/null || true # it may see its end as an error
    [[ ! -s out || $(cat out) == "" ]] || fail "nobody was answered: $(cat out)"
    sizes v0=9
fi

# A server that stands still is not waited for for ever, and does nothing later that was given up.
nbdkit=$(pgrep -P "$server")
kill -STOP "$nbdkit"
expect 2 "$QLCSHAPE" volume create array.toml late --size 4MiB
says "process $nbdkit" "does not answer within 5 s"
kill -CONT "$nbdkit"
sizes v0=9

# What the command said is there after a kill.
expect 0 "$QLCSHAPE" volume create array.toml v3 --size 5MiB
expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 11MiB
kill_server
sizes v0=11,v3=5
start_server # v0 alone
expect 0 "$QLCSHAPE" volume create array.toml v4 --size 4MiB
expect 0 nbdinfo --size "$(at v0)"
expect 1 nbdinfo --size "$(at v4)"
stop_server
expect 0 "$QLCSHAPE" check array.toml
sizes v0=11,v3=5,v4=4
