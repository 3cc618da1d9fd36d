#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's first process: modules, network, then /job, and its exit code on the console.
B=/bin/busybox
$B mkdir -p /usr/bin /usr/sbin /sbin
$B --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ln -s /proc/mounts /etc/mtab
while read -r module; do insmod "/$module" || echo "no module $module"; done </modules
mount -t configfs configfs /sys/kernel/config
ip link set lo up
ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0
sh -e /job
echo "guest exit $?"
sync
poweroff -f
