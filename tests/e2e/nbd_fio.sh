#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fio over its nbd engine verifies what it reads back: random, mixed, trims, several connections.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 48MiB
start_server

load() {
    expect 0 fio --name=load --ioengine=nbd --uri="$URI" --output=fio.out --size=48m \
        --verify=crc32c --verify_fatal=1 --randseed=$RANDOM "$@"
    ! grep -qi 'verify: bad\|err=[^ ]*[1-9]' fio.out || fail "fio: $(cat fio.out)"
}
load --rw=randwrite --bs=4k --iodepth=32
load --rw=randwrite --bsrange=512-64k --blockalign=512 --iodepth=16
load --rw=randrw --bs=4k --iodepth=32
load --rw=write --bs=1m --iodepth=4
# Deeper, fio has a block's trim and its write in flight at once, and either may come last.
load --rw=trimwrite --bs=128k --iodepth=1
load --rw=randtrim --bs=64k --iodepth=8 --verify=0 --verify_fatal=0
# Four connections at once, each with its own part, and flushes between.
load --rw=randwrite --bs=8k --iodepth=16 --numjobs=4 --size=12m --offset_increment=12m --fsync=32
stop_server
expect 0 "$QLCSHAPE" check array.toml
