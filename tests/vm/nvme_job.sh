# SPDX-License-Identifier: Apache-2.0
# In the guest: the volume as QEMU's NVMe drive, and then by the kernel's NBD client (from 10.0.2.2,
# port $nbd_port) behind nvmet over TCP. One file system is made on the one way and read on the other.
nvme_named() { # nvme_named FILE TEXT: the drive whose attribute in /sys/class/nvme has it
    for try in $(seq 100); do
        for control in /sys/class/nvme/nvme*; do
            if grep -q "$2" "$control/$1" && [ -b "/dev/${control##*/}n1" ]; then
                echo "/dev/${control##*/}n1"
                return
            fi
        done
        sleep 0.1
    done
    echo "no NVMe drive with $1 $2" >&2
    return 1
}
fill() { # fill FOLDER: a tree with checksums beside it
    for d in 1 2 3 4; do
        mkdir -p $1/d$d
        for f in 1 2 3 4 5 6 7 8; do head -c $((d * f * 4099)) /dev/urandom >$1/d$d/f$f; done
    done
    head -c 6000000 /dev/urandom >$1/large
    rm -r $1/d2
    (cd $1 && find . -type f ! -name sums -exec sha256sum {} + >sums)
}

drive=$(nvme_named serial volume)
echo "NVMe drive: $drive"
[ "$(cat /sys/block/${drive#/dev/}/queue/logical_block_size)" = 4096 ]
mkfs.xfs -q -f $drive
mount -t xfs -o discard $drive /mnt
fill /mnt
umount /mnt
xfs_repair -n $drive 2>&1 | tail -1
mount -t xfs $drive /mnt
(cd /mnt && sha256sum -c sums >/dev/null)
umount /mnt

nbd-client 10.0.2.2 $nbd_port /dev/nbd0 -block-size 4096 -connections 2
nvmet=/sys/kernel/config/nvmet
mkdir $nvmet/subsystems/volume $nvmet/subsystems/volume/namespaces/1 $nvmet/ports/1
echo 1 >$nvmet/subsystems/volume/attr_allow_any_host
echo /dev/nbd0 >$nvmet/subsystems/volume/namespaces/1/device_path
echo 1 >$nvmet/subsystems/volume/namespaces/1/enable
echo tcp >$nvmet/ports/1/addr_trtype
echo ipv4 >$nvmet/ports/1/addr_adrfam
echo 127.0.0.1 >$nvmet/ports/1/addr_traddr
echo 4420 >$nvmet/ports/1/addr_trsvcid
ln -s $nvmet/subsystems/volume $nvmet/ports/1/subsystems/volume
nvme connect -t tcp -a 127.0.0.1 -s 4420 -n volume
drive=$(nvme_named subsysnqn '^volume$')
echo "NVMe-oF drive: $drive"
mount -t xfs $drive /mnt
(cd /mnt && sha256sum -c sums >/dev/null)
umount /mnt
mkfs.ext4 -q -F $drive
mount -t ext4 -o discard $drive /mnt
fill /mnt
umount /mnt
e2fsck -f -n $drive
mount -t ext4 $drive /mnt
(cd /mnt && sha256sum -c sums >/dev/null)
umount /mnt
nvme disconnect -n volume
echo 0 >$nvmet/subsystems/volume/namespaces/1/enable

# The server dies, as docs/nbd.md tells: take down from the top, connect again, mount.
mount -t ext4 /dev/nbd0 /mnt
head -c 3000000 /dev/urandom >/mnt/synced
sync
sum=$(sha256sum </mnt/synced)
echo "NBD: kill the server"
for try in $(seq 600); do
    dd if=/dev/zero of=/mnt/after bs=64k count=1 conv=fsync 2>/dev/null || break
    sleep 0.1
done
! dd if=/dev/zero of=/mnt/after bs=64k count=1 conv=fsync 2>/dev/null
umount /mnt
nbd-client -d /dev/nbd0
echo "NBD: start the server"
for try in $(seq 600); do
    nbd-client 10.0.2.2 $nbd_port /dev/nbd0 -block-size 4096 -connections 2 && break
    sleep 0.1
done
mount -t ext4 /dev/nbd0 /mnt
[ "$(sha256sum </mnt/synced)" = "$sum" ]
(cd /mnt && sha256sum -c sums >/dev/null)
umount /mnt
nbd-client -d /dev/nbd0
