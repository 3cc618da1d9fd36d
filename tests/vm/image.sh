#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes what vm_*.sh boots: image.sh FOLDER leaves FOLDER/vmlinuz and FOLDER/initrd. The kernel is
# Debian's for clouds (27 MB). The initrd has busybox, programs of this machine with their libraries,
# and init.sh; no other root.
set -euo pipefail
folder=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../e2e/unpacked.bash"
programs=(mkfs.xfs xfs_repair mkfs.ext4 e2fsck nvme nbd-client sha256sum)
modules=(virtio_pci virtio_net xfs nbd nvmet nvmet-tcp nvme-tcp)

package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
[[ -n $package ]] || { echo "apt knows no linux-image-cloud-amd64" >&2; exit 1; }
release=${package#linux-image-}
kernel=$(unpacked "$package")
[[ -e $kernel/lib/modules/$release/modules.dep ]] || depmod -b "$kernel" "$release"
cp "$kernel/boot/vmlinuz-$release" "$folder/vmlinuz"

root=$folder/root
mkdir -p "$root"/{bin,dev,proc,sys,mnt,tmp,run,etc}
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$here/init.sh" "$root/init"
chmod +x "$root/init"
# Under the paths that they have here; each library once.
for program in "${programs[@]}"; do
    path=$(command -v "$program") || { echo "no $program" >&2; exit 1; }
    cp -L "$path" "$root/bin/"
    ldd "$path" | grep -o '/[^ ]*' | while read -r library; do
        [[ -e $root$library ]] || { mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"; }
    done
done
for module in "${modules[@]}"; do
    modprobe -d "$kernel" -S "$release" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
    cp "$file" "$root/$(basename "$file")"
    basename "$file" >>"$root/modules"
done
(cd "$root" && find . | cpio --quiet -o -H newc) >"$folder/initrd"
