#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A booted guest uses the volume as an emulated NVMe drive over the NBD socket, and as NVMe-oF behind
# the kernel's NBD client and nvmet: file systems with checksums and fsck, there and here afterwards. Then
# the server of its NBD client dies.
E2E=$(cd "$(dirname "$0")" && pwd)
source "$E2E/lib.bash"
source "$E2E/nbd.bash"
for program in qemu-system-x86_64 busybox cpio modprobe depmod nvme nbd-client mkfs.xfs apt-get; do
    command -v "$program" >/dev/null || { echo "SKIPPED: no $program"; exit 77; }
done
mkdir guest
bash "$E2E/../vm/image.sh" guest linux-image-cloud-amd64 \
    "mkfs.xfs xfs_repair mkfs.ext4 e2fsck nvme nbd-client sha256sum" \
    "virtio_pci virtio_net xfs nbd nvmet nvmet-tcp nvme-tcp" >image.log 2>&1 ||
    { echo "SKIPPED: no guest kernel: $(tail -1 image.log)"; exit 77; }

array_file 160MiB
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 400MiB
start_server
# For the guest's own NBD client the same export on a port: nbdkit again, as a proxy.
start_proxy() {
    nbdkit --foreground --exit-with-parent -i 127.0.0.1 -p "$port" nbd uri="$URI" 2>proxy.err &
    proxy=$!
}
for port in $(shuf -i 20000-32000 -n 20); do
    start_proxy
    for _ in {1..600}; do
        [[ $(timeout 10 nbdinfo --size "nbd://127.0.0.1:$port" 2>/dev/null) != $((400 << 20)) ]] || break 2
        kill -0 "$proxy" 2>/dev/null || break # the port was taken
        sleep 0.1
    done
done
mkdir job
{ echo "nbd_port=$port"; cat "$E2E/../vm/nvme_job.sh"; } >job/job
(cd job && echo job | cpio --quiet -o -H newc) >job.cpio
cat guest/initrd job.cpio >initrd # both padded to 512 bytes

timeout -s KILL 1200 qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1G \
    -nodefaults -no-user-config -display none -no-reboot -serial stdio \
    -kernel guest/vmlinuz -initrd initrd -append "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on" \
    -drive "file=nbd+unix:///?socket=$SOCKET,if=none,id=volume,format=raw,cache=none,discard=unmap" \
    -device nvme,drive=volume,serial=volume,logical_block_size=4096,physical_block_size=4096 \
    -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= </dev/null >console 2>&1 & guest=$!
# asked TEXT: waits until the guest says it, or has ended.
asked() { while kill -0 "$guest" 2>/dev/null && ! grep -q "$1" console; do sleep 0.1; done; }
asked "NBD: kill the server"
kill -KILL "$proxy"
wait "$proxy" || true
asked "NBD: start the server"
start_proxy
wait "$guest" || true
tr -d '\r' <console >console.txt
grep -E '^(NVMe|guest)' console.txt || true
grep -q '^guest exit 0' console.txt || { tail -30 console.txt >&2; fail "the guest"; }
kill -TERM "$proxy"
ended "$proxy" || fail "the proxy: exit $?"

# What the guest left is whole: over NBD, after a restart, without two drives.
expect 0 nbdcopy "$URI" copy
expect 0 e2fsck -f -n copy
stop_server
expect 0 "$QLCSHAPE" check array.toml
mkdir away
mv qlc1.img qlc4.img away/
start_server
expect 0 nbdcopy "$URI" degraded
cmp copy degraded || fail "wrong without two drives"
