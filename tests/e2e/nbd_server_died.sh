#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What docs/nbd.md says to do on the client side after a server died: its lines are run as they stand there.
E2E=$(cd "$(dirname "$0")" && pwd)
source "$E2E/lib.bash"
source "$E2E/nbd.bash"
source "$E2E/loop.bash"
array_file 160MiB
PATH=$(dirname "$QLCSHAPE"):$PATH
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 400MiB
mkdir mnt
: >disk

# lines NAME: those of the page that this test runs.
lines() { sed -n "/^<!-- run by tests\/e2e\/nbd_server_died.sh: $1 -->\$/,/^\`\`\`\$/p" "$E2E/../../docs/nbd.md" | sed '1,2d;$d'; }
lines "take down" >down
lines "ride out" >ride
[[ $(wc -l <down) -ge 3 && $(wc -l <ride) -ge 3 ]] || fail "no lines in docs/nbd.md: $(cat down ride)"
# attach URI
attach() {
    nbdfuse -C 4 disk "$1" & fuse=$!
    for _ in {1..100}; do [[ ! -s disk ]] && sleep 0.1 || break; done
    loop=$(losetup --find --show --direct-io=on --sector-size 4096 disk) || fail "no loop device"
}

for kind in ext4 xfs; do
    start_server
    attach "$URI"
    "mkfs.$kind" -q "$(if [[ $kind == ext4 ]]; then echo -F; else echo -f; fi)" "$loop"
    expect 0 mount "$loop" mnt
    head -c 5M /dev/urandom >data
    cp data mnt/synced
    expect 0 sync mnt/synced
    kill_server
    ! dd if=/dev/zero of=mnt/after bs=1M count=2 conv=fsync 2>dd.err || fail "$kind: a write without a server"
    source ./down
    loop=
    ended $fuse || [[ $? != 137 ]] || fail "nbdfuse does not end"
    ! grep -q " $WORK/" /proc/mounts || fail "still mounted: $(grep "$WORK" /proc/mounts)"
    start_server
    attach "$URI"
    expect 0 mount "$loop" mnt # replays the file system's log
    cmp data mnt/synced || fail "$kind: what was synced is not there"
    expect 0 umount mnt
    expect 0 losetup -d "$loop"
    loop=
    expect 0 umount disk
    ended $fuse || [[ $? != 137 ]] || fail "nbdfuse does not end"
    stop_server
done

# A client that knows nothing of it: nbdkit's retry filter in between opens the connection again.
start_server
v0=$SOCKET
source ./ride
proxy=$!
for _ in {1..100}; do [[ -S retry.sock ]] && break || sleep 0.1; done
attach "nbd+unix:///?socket=$WORK/retry.sock"
expect 0 mount "$loop" mnt
dd if=/dev/urandom of=mnt/through bs=64k count=200 oflag=direct 2>dd.err & writer=$!
sleep 0.3
kill_server
start_server
wait $writer || fail "the writer: $(cat dd.err)"
cp data mnt/after
expect 0 sync mnt/after
cmp data mnt/after
expect 0 umount mnt
expect 0 losetup -d "$loop"
loop=
expect 0 umount disk
ended $fuse || [[ $? != 137 ]] || fail "nbdfuse does not end"
kill $proxy
wait $proxy || true

# QEMU by itself, told to.
mkfifo commands
lines qemu >qemu
grep -q reconnect-delay=60 qemu || fail "nothing of QEMU"
qemu-io --image-opts "driver=raw,file.driver=nbd,file.path=$SOCKET,file.export=v0,file.reconnect-delay=60" <commands >qemu.out 2>&1 & qemu=$!
exec 7>commands
# It reads a line at a time: the next one goes when this one has been answered.
answers=0
ask() {
    echo "$1" >&7
    ((++answers))
}
answered() {
    for _ in {1..600}; do [[ $(grep -cE "^(qemu-io> )?(wrote|read) " qemu.out) -ge $answers ]] && return || sleep 0.1; done
    fail "qemu-io: $(cat qemu.out)"
}
ask "write -P 7 0 64k"
answered
kill_server
ask "write -P 8 64k 64k"
start_server
answered
for pattern in "7 0" "8 64k"; do
    ask "read -P $pattern 64k"
    answered
done
echo quit >&7
exec 7>&-
ended $qemu || fail "qemu-io: $(cat qemu.out)"
[[ $(grep -cE "(wrote|read) 65536/65536" qemu.out) == 4 ]] || fail "qemu-io: $(cat qemu.out)"
! grep -q "verification failed" qemu.out || fail "qemu-io: $(cat qemu.out)"
stop_server
expect 0 "$QLCSHAPE" check array.toml
