# SPDX-License-Identifier: Apache-2.0
# A device behind the kernel's NVMe target, over TCP: its host sees no more than a pause when the server is
# killed.
serve --volume disk
nvmet=/sys/kernel/config/nvmet
mkdir $nvmet/subsystems/volume $nvmet/subsystems/volume/namespaces/1 $nvmet/ports/1
echo 1 >$nvmet/subsystems/volume/attr_allow_any_host
echo $device >$nvmet/subsystems/volume/namespaces/1/device_path
echo 1 >$nvmet/subsystems/volume/namespaces/1/enable
echo tcp >$nvmet/ports/1/addr_trtype
echo ipv4 >$nvmet/ports/1/addr_adrfam
echo 127.0.0.1 >$nvmet/ports/1/addr_traddr
echo 4420 >$nvmet/ports/1/addr_trsvcid
ln -s $nvmet/subsystems/volume $nvmet/ports/1/subsystems/volume
host=11111111-2222-4333-8444-555555555555 # there is no /etc/nvme
nvme connect -t tcp -a 127.0.0.1 -s 4420 -n volume -I $host -q nqn.2014-08.org.nvmexpress:uuid:$host
drive=
for try in $(seq 100); do
    for control in /sys/class/nvme/nvme*; do
        ! grep -q '^volume$' $control/subsysnqn || [ ! -b /dev/${control##*/}n1 ] || drive=/dev/${control##*/}n1
    done
    [ -z "$drive" ] || break
    sleep 0.1
done
mkfs.xfs -q -f $drive
mount -t xfs -o discard $drive /mnt
start_fill /mnt/remote
end_server KILL 137
sleep 1
serve --volume disk
wait $filling
xfs_is_whole
umount /mnt
nvme disconnect -n volume >/dev/null
echo 0 >$nvmet/subsystems/volume/namespaces/1/enable
mount -t xfs $device /mnt
xfs_is_whole
umount /mnt
end_server TERM 0
