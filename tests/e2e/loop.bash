# SPDX-License-Identifier: Apache-2.0
# Sourced after nbd.bash by tests that need a real block device: nbdfuse and a loop device.
[[ $(id -u) == 0 ]] || { echo "SKIPPED: only root may attach loop devices"; exit 77; }
[[ -e /dev/fuse ]] || { echo "SKIPPED: no /dev/fuse"; exit 77; }
losetup --find >/dev/null 2>&1 || { echo "SKIPPED: no loop device"; exit 77; }

loop=
unmount() { # some tries, since io_uring gives files back a moment after a process has ended
    for _ in {1..20}; do
        ! grep -q " $WORK/$1 " /proc/mounts || timeout 20 umount "$1" 2>/dev/null || { sleep 0.2; continue; }
        return 0 # by itself that of the command before the trap
    done
    timeout 20 umount -l "$1" || true
}
# Whatever stands is taken down from the top, so that nothing of the test stays mounted.
end_loop() {
    unmount mnt
    [[ -z $loop ]] || timeout 20 losetup -d "$loop" 2>/dev/null || true
    unmount disk
    end_server
}
trap end_loop EXIT
