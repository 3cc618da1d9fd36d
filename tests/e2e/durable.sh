#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An acknowledged write is out of the caches of all SCM drives: each of three mirrors lies on an NBD
# server that counts its flushes, by another way: a file on a file system that forgets to make a
# write durable (FUSE), a file on ext4, and a block device.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
source "$(dirname "$0")/loop.bash"
command -v nbdfuse >/dev/null || { echo "SKIPPED: no nbdfuse"; exit 77; }

loops=()
end_mirrors() {
    unmount ext4
    for device in "${loops[@]}"; do losetup -d "$device" || true; done
    for name in fuse ext4 block; do unmount "disk_$name"; done
    end_loop
}
trap end_mirrors EXIT

declare -A mirrors
for name in fuse ext4 block; do
    nbdkit --exit-with-parent --foreground -U "$WORK/$name.sock" --filter=log memory 48M \
        logfile="$WORK/$name.log" >"$name.out" 2>&1 &
    until [[ -S $name.sock ]]; do sleep 0.1; done
    touch "disk_$name"
    nbdfuse -C 4 "disk_$name" "nbd+unix:///?socket=$WORK/$name.sock" >>"$name.out" 2>&1 &
    until [[ -s disk_$name ]]; do sleep 0.1; done
    mirrors[$name]=disk_$name
done
for name in ext4 block; do
    mirrors[$name]=$(losetup --find --show --direct-io=on --sector-size 4096 "disk_$name")
    loops+=("${mirrors[$name]}")
done
mkfs.ext4 -q "${mirrors[ext4]}"
mkdir ext4
mount "${mirrors[ext4]}" ext4
mirrors[ext4]=ext4/scm

array_file
sed -i '/role = "scm"/,$d' array.toml
sed -i '$d' array.toml
for name in fuse ext4 block; do
    printf '\n[[device]]\nrole = "scm"\npath = "%s"\n' "${mirrors[$name]}" >>array.toml
done
sed -i 's/path = "ext4\/scm"/&\nsize = "24MiB"/' array.toml
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 8MiB

flushes() { grep -cE ' Flush id| Write id.* fua=1' "$1.log" || true; }
# One at a time, so that no two are in one record of the TPS; and as many reads, which need nothing.
writes=200
for load in randwrite randread; do
    for name in fuse ext4 block; do declare "before_$name=$(flushes $name)"; done
    expect 0 "$QLCSHAPE" bench array.toml --rw $load --bs 4k --iodepth 1 --size $((writes * 4096))
    for name in fuse ext4 block; do
        before=before_$name
        made=$(($(flushes $name) - ${!before}))
        echo "$load, $name: $made flushes"
        [[ $load == randread ]] || ((made >= writes)) || fail "$name: $made flushes for $writes writes"
        [[ $load == randwrite ]] || ((made < writes)) || fail "$name: as many flushes without writes"
    done
done
expect 0 "$QLCSHAPE" check array.toml
