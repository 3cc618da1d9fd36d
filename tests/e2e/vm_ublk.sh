#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A booted guest uses volumes as ublk devices, whose server is killed, ended and replaced. QLCSHAPE_UBLK_KILLS:
# how often it is killed under the client that knows what each sector may hold.
E2E=$(cd "$(dirname "$0")" && pwd)
source "$E2E/lib.bash"
client=$BUILD/tests/block_client
for program in qemu-system-x86_64 busybox cpio modprobe depmod nvme fio strace setpriv mkfs.xfs apt-get "$client"; do
    command -v "$program" >/dev/null || { echo "SKIPPED: no $program"; exit 77; }
done
mkdir guest
bash "$E2E/../vm/image.sh" guest linux-image-6.12-cloud-amd64 \
    "$QLCSHAPE $client mkfs.xfs xfs_repair nvme fio strace setpriv bash" \
    "xfs ublk_drv nvmet nvmet-tcp nvme-tcp" >image.log 2>&1 ||
    { echo "SKIPPED: no guest kernel: $(tail -1 image.log)"; exit 77; }

parts="ublk_kill ublk_xfs ublk_rules ublk_fio ublk_nvmf"
mkdir job
{ echo "kills=${QLCSHAPE_UBLK_KILLS:-4} parts='$parts'"; cat "$E2E/../vm/ublk_job.sh"; } >job/job
# The three lines of README, which docs/ublk.md has too.
lines_of() { sed -n '/^<!-- run by tests\/e2e\/vm_ublk.sh -->$/,/^```$/p' "$ROOT/$1" | sed '1,2d;$d'; }
lines_of README.md >job/lines
[[ $(wc -l <job/lines) == 3 ]] || fail "not three lines: $(cat job/lines)"
[[ $(lines_of docs/ublk.md) == "$(cat job/lines)" ]] || fail "docs/ublk.md has other lines"
for part in $parts; do cp "$E2E/../vm/$part.sh" job/; done
(cd job && find . -type f | cpio --quiet -o -H newc) >job.cpio
cat guest/initrd job.cpio >initrd # both padded to 512 bytes
timeout -s KILL 1700 qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2G \
    -nodefaults -no-user-config -display none -no-reboot -serial stdio \
    -kernel guest/vmlinuz -initrd initrd -append "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on" \
    </dev/null 2>&1 | tr -d '\r' >console || true
grep -E '^(part|ublk|block_client|guest)' console || true
grep -q '^guest exit 0' console || { tail -40 console >&2; fail "the guest"; }
