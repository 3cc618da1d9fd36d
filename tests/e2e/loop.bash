# Sourced after nbd.bash by tests that need a real block device: nbdfuse and a loop device.
[[ $(id -u) == 0 ]] || { echo "SKIPPED: only root may attach loop devices"; exit 77; }
[[ -e /dev/fuse ]] || { echo "SKIPPED: no /dev/fuse"; exit 77; }
losetup --find >/dev/null 2>&1 || { echo "SKIPPED: no loop device"; exit 77; }

loop=
# Whatever stands is taken down from the top, so that nothing of the test stays mounted.
end_loop() {
    ! mountpoint -q mnt || timeout 20 umount mnt || timeout 20 umount -l mnt || true
    [[ -z $loop ]] || timeout 20 losetup -d "$loop" 2>/dev/null || true
    ! grep -q " $WORK/disk " /proc/mounts || timeout 20 umount disk || timeout 20 umount -l disk || true
    end_server
}
trap end_loop EXIT
