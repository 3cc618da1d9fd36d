#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ext4 and XFS on a loop device over nbdfuse: a tree of files with checksums, compared after a mount
# anew and after a restart of the server; fsck finds nothing.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
source "$(dirname "$0")/loop.bash"
array_file 160MiB
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 400MiB
mkdir mnt
: >disk

attach() {
    start_server
    nbdfuse -C 4 disk "$URI" &
    fuse=$!
    for _ in {1..1200}; do [[ ! -s disk ]] && sleep 0.1 || break; done
    loop=$(losetup --find --show --direct-io=on --sector-size 4096 disk) || fail "no loop device"
}
detach() {
    expect 0 losetup -d "$loop"
    loop=
    expect 0 umount disk
    ended $fuse || fail "nbdfuse: exit $?"
    stop_server
}

for kind in ext4 xfs; do
    attach
    if [[ $kind == ext4 ]]; then
        expect 0 mkfs.ext4 -q -F -b 4096 "$loop"
        fsck=(e2fsck -f -n)
    else
        expect 0 mkfs.xfs -q -f "$loop"
        fsck=(xfs_repair -n)
    fi
    expect 0 mount -o discard "$loop" mnt
    for i in {1..6}; do
        mkdir -p mnt/d$i/e
        for j in {1..20}; do head -c $((RANDOM * j / 8)) /dev/urandom >mnt/d$i/e/f$j; done
    done
    head -c 24M /dev/urandom >mnt/large
    rm -r mnt/d3
    for load in "--rw=randwrite --bs=4k --fsync=64" "--rw=randrw --bsrange=4k-128k" "--rw=write --bs=1m"; do
        # shellcheck disable=SC2086
        expect 0 fio --name=load --filename=mnt/fio --size=8m --ioengine=libaio --direct=1 --iodepth=16 \
            --verify=crc32c --verify_fatal=1 --randseed=$RANDOM --output=fio.out $load
    done
    (cd mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum) >sums
    expect 0 fstrim mnt
    expect 0 umount mnt
    expect 0 "${fsck[@]}" "$loop"
    detach
    attach
    expect 0 mount "$loop" mnt
    (cd mnt && sha256sum --quiet -c ../sums) || fail "$kind: files differ after a restart"
    expect 0 umount mnt
    expect 0 "${fsck[@]}" "$loop"
    detach
done
expect 0 "$QLCSHAPE" check array.toml
