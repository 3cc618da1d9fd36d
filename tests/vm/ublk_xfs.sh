# SPDX-License-Identifier: Apache-2.0
# XFS on a device, by the lines of README. Its server is killed, ended and replaced while the file
# system is written to.
ln -s /mnt a/mnt
ln -s /proc/self/fd /dev/fd
(cd a && /bin/bash -e -c '. /lines; echo $device >../dev; echo $! >../pid') 2>err || fail "the lines"
device=$(cat dev)
grep -q "$device /mnt xfs" /proc/mounts || fail "no XFS"
start_fill /mnt/killed
kill -KILL $(cat pid)
sleep 1
state_of $device | grep -q "waits for a server" || fail "$device does not wait"
serve --volume disk
wait $filling
xfs_is_whole

# A server that is told to end leaves what is mounted, and the next one goes on.
start_fill /mnt/ended
end_server TERM 0
grep -q "it is in use, so it stays" serve.err || fail "no word of the device that stays"
state_of $device | grep -q "waits for a server" || fail "the state of $device"
refused 2 "it is in use" qlcshape ublk delete ${device#/dev/ublkb}
serve --volume disk
wait $filling

# Another server takes over.
start_fill /mnt/taken
old=$server
serve --volume disk --takeover
code=0
wait $old || code=$?
[ $code = 0 ] || fail "the old server ended with $code"
wait $filling
xfs_is_whole

umount /mnt
xfs_repair -n $device >out 2>&1 || fail "xfs_repair: $(cat out)"
mount -t xfs $device /mnt
xfs_is_whole
umount /mnt
end_server TERM 0
[ ! -e $device ] || fail "$device is still there"
qlcshape check a/array.toml >/dev/null 2>err || fail "check"
