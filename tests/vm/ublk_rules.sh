# SPDX-License-Identifier: Apache-2.0
# What a device is, who gets which, and what is refused.
serve --volume disk --id 7
[ $device = /dev/ublkb7 ] || fail "$device"
[ "$(sysfs queue/logical_block_size) $(sysfs queue/physical_block_size)" = "4096 4096" ] || fail "blocks"
[ "$(sysfs queue/optimal_io_size)" = 131072 ] || fail "optimal_io_size"
[ "$(sysfs queue/max_sectors_kb)" = 1024 ] || fail "max_sectors"
[ "$(sysfs queue/write_cache)" = "write through" ] || fail "write_cache"
[ "$(sysfs queue/discard_granularity)" = 4096 ] || fail "discard"
[ "$(sysfs queue/write_zeroes_max_bytes)" -gt 0 ] || fail "write zeroes"
[ "$(sysfs size)" = $((300 * 2048)) ] || fail "size"
[ "$(ls /sys/block/ublkb7/mq | wc -l)" = "$(nproc)" ] || fail "queues"
refused 2 "serves it" qlcshape ublk delete 7
# Who asks the array is told the device.
qlcshape status a/array.toml | grep -q 'disk .* /dev/ublkb7' || fail "status"
qlcshape status a/array.toml --json | grep -q '"device": *"/dev/ublkb7"' || fail "status --json"
qlcshape top a/array.toml | grep -q '/dev/ublkb7: volume disk' || fail "top"
for try in $(seq 100); do
    ! grep -q 'device="/dev/ublkb7"' a/metrics 2>/dev/null || break
    sleep 0.1
done
grep -q 'volume="disk",device="/dev/ublkb7"' a/metrics || fail "metrics"
refused 2 "in use by process" qlcshape serve a/array.toml --ublk --volume v1
# A size that the kernel can't change in use is told.
qlcshape volume resize a/array.toml disk --size 304MiB >/dev/null
for try in $(seq 100); do
    ! grep -q "can't change it in use" serve.err || break
    sleep 0.1
done
grep -q "can't change it in use" serve.err || fail "no word of the size"
# A killed server's device is no other volume's, and no other kind of device.
end_server KILL 137
refused 2 "another --id" qlcshape serve a/array.toml --ublk --volume v1 --id 7
refused 2 "--block-size 4096" qlcshape serve a/array.toml --ublk --volume disk --id 7 --block-size 512
refused 2 "takes writes" qlcshape serve a/array.toml --ublk --volume disk --id 7 --read-only
state_of ublkb7 | grep -q "waits for a server" || fail "what was refused changed it"
qlcshape ublk delete 7
[ ! -e /dev/ublkb7 ] || fail "it was deleted"
refused 2 "/dev/ublkb7" qlcshape ublk delete 7

# 512-byte blocks.
serve --volume v1 --block-size 512
[ "$(sysfs queue/logical_block_size) $(sysfs queue/physical_block_size)" = "512 4096" ] || fail "blocks"
dd if=/dev/urandom of=data bs=512 count=3 2>/dev/null
dd if=data of=$device bs=512 seek=5 oflag=direct 2>/dev/null
dd if=$device of=back bs=512 skip=5 count=3 iflag=direct 2>/dev/null
cmp data back || fail "512-byte blocks"
end_server TERM 0

# Read-only.
serve --volume v1 --read-only
[ "$(sysfs ro)" = 1 ] || fail "it is not read-only"
dd if=$device of=back bs=512 skip=5 count=3 2>/dev/null
cmp data back || fail "read-only"
end_server TERM 0

# All volumes; a takeover of one alone would leave the other; and one of what is not served like this.
serve
[ "$(wc -l <dev)" = 2 ] || fail "two devices: $(cat dev)"
refused 2 "serves volume disk too" qlcshape serve a/array.toml --ublk --volume v1 --takeover
second=$(tail -1 dev)
dd if=/dev/urandom of=data bs=64k count=8 2>/dev/null
dd if=data of=$second bs=64k oflag=direct 2>/dev/null
end_server KILL 137
serve
dd if=$(tail -1 dev) of=back bs=64k count=8 iflag=direct 2>/dev/null
[ $second = $(tail -1 dev) ] && cmp data back || fail "two volumes"
end_server TERM 0
[ ! -e $device ] && [ ! -e $second ] || fail "two devices stay"

# A user's own device: copied by the plain way, and it ends with its server.
chmod 666 /dev/ublk-control
chown -R 1000 a
(while [ ! -e /dev/ublkc9 ]; do sleep 0.05; done; chown 1000 /dev/ublkc9) &
rm -f dev
touch dev && chown 1000 dev
/bin/setpriv --reuid 1000 --regid 1000 --clear-groups qlcshape serve a/array.toml --ublk --volume v1 --id 9 >dev 2>user.err &
server=$!
for try in $(seq 600); do
    [ ! -s dev ] || break
    kill -0 $server 2>/dev/null || { cat user.err; fail "no server of a user"; }
    sleep 0.1
done
device=$(cat dev)
grep -q "only root's devices outlive" user.err || fail "no word of its end"
dd if=$device of=back bs=64k count=8 iflag=direct 2>/dev/null
cmp data back || fail "a user's device"
end_server TERM 0
[ ! -e $device ] || fail "a user's device stays"
chown -R 0 a
chmod 600 /dev/ublk-control
refused 2 "run it as root" /bin/setpriv --reuid 1000 --regid 1000 --clear-groups qlcshape serve a/array.toml --ublk --volume v1
