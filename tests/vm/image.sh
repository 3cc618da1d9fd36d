#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes what vm_*.sh boots: image.sh FOLDER KERNEL "PROGRAM..." "MODULE..." leaves FOLDER/vmlinuz and
# FOLDER/initrd. KERNEL is a package of Debian's that depends on the newest of its line, e.g.
# linux-image-cloud-amd64 (6.1, 27 MB). The initrd has busybox, programs of this machine or of the paths
# that were given, with their libraries, and init.sh; no other root.
set -euo pipefail
folder=$1 meta=$2
read -ra programs <<<"$3"
read -ra modules <<<"$4"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../e2e/unpacked.bash"

package=$(apt-cache depends "$meta" | awk '/Depends:/ { print $2; exit }')
[[ -n $package ]] || { echo "apt knows no $meta" >&2; exit 1; }
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
    strip -o "$root/bin/$(basename "$program")" "$path" 2>/dev/null || cp -L "$path" "$root/bin/"
    ldd "$path" | grep -o '/[^ ]*' | while read -r library; do
        [[ -e $root$library ]] || { mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"; }
    done
done
for module in "${modules[@]}"; do
    modprobe -d "$kernel" -S "$release" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
    name=$(basename "${file%.xz}")
    case $file in
    *.xz) xz -dc "$file" >"$root/$name" ;;
    *) cp "$file" "$root/$name" ;;
    esac
    echo "$name" >>"$root/modules"
done
(cd "$root" && find . | cpio --quiet -o -H newc) >"$folder/initrd"
