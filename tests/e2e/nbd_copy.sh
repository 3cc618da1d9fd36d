#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images go in and out by nbdcopy and qemu-img, compare equal, and keep their holes.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 40MiB

# 40 MiB with holes, data of odd length and zeroes that are data.
truncate -s 40M image
for at in 0 1 9 20 39; do dd if=/dev/urandom of=image bs=1M seek=$at count=1 conv=notrunc status=none; done
dd if=/dev/urandom of=image bs=512 seek=9001 count=77 conv=notrunc status=none
dd if=/dev/zero of=image bs=1M seek=30 count=2 conv=notrunc status=none

start_server
expect 0 nbdinfo "$URI" --json
for word in '"can_fua": true' '"can_multi_conn": true' '"can_fast_zero": true' '"can_trim": true' \
    '"is_read_only": false' '"block_size_minimum": 512' '"block_size_preferred": 4096'; do
    grep -qF "$word" out || fail "nbdinfo: no $word"
done

expect 0 nbdcopy --flush image "$URI"
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "nbdcopy: not what went in"
expect 0 nbdinfo --map --totals "$URI"
[[ $(awk '$4 == "data" || $4 == 0 { print $1 }' out | head -1) -le $((6 << 20)) ]] || fail "holes were filled"

stop_server # and again after a close
start_server
expect 0 qemu-img compare -f raw -F raw image "$URI"
expect 0 nbdinfo --map --totals "$URI"
grep -q hole out || fail "no holes after a close"

# qemu-io: parts of blocks, zeroes, trims; patterns are compared.
expect 0 qemu-io -f raw "$URI" -c "write -P 0x5a 0 64k" -c "write -P 0xa5 512 512" \
    -c "read -P 0x5a 0 512" -c "read -P 0xa5 512 512" -c "read -P 0x5a 1k 63k" \
    -c "write -z 4608 7680" -c "read -P 0 4608 7680" -c "read -P 0x5a 12288 4k" \
    -c "discard 16k 32k" -c "read -P 0 16k 32k" -c "read -P 0x5a 48k 16k" \
    -c "write -f -P 0x11 39m 1m" -c "flush" -c "read -P 0x11 39m 1m"
! grep -qi 'failed\|pattern verification' out err || fail "qemu-io: $(cat out)"

expect 0 qemu-img convert -n -f raw -O raw image "$URI"
expect 0 qemu-img convert -f raw -O qcow2 "$URI" copy.qcow2
expect 0 qemu-img compare -f raw -F qcow2 image copy.qcow2
[[ $(stat -c %s copy.qcow2) -lt $((10 << 20)) ]] || fail "convert copied holes"

# What is asked of parts of blocks is told of whole ones.
expect 0 "$PYTHON" - "$URI" <<'PYTHON'
import nbd, sys
h = nbd.NBD()
h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
h.connect_uri(sys.argv[1])
for offset, length in ((0, 512), (0, 4096 + 512), (3584, 1024), (39 << 20, 512)):
    told = []
    h.block_status(length, offset, lambda context, at, entries, error: told.extend(entries) or 0)
    assert told[1] == 0 and told[0] >= length, (offset, length, told)
PYTHON

# What is no multiple of 512 is refused, and the server goes on.
expect 0 "$PYTHON" - "$URI" <<'PYTHON'
import errno, nbd, sys
h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
for refused in (lambda: h.pwrite(b"x" * 100, 0), lambda: h.pread(512, 7), lambda: h.trim(512, 40 << 20)):
    try:
        refused()
        sys.exit("not refused")
    except nbd.Error as error:
        assert error.errnum in (errno.EINVAL, errno.ENOSPC), error
assert h.pread(512, 512) is not None
PYTHON
stop_server
expect 0 "$QLCSHAPE" check array.toml
