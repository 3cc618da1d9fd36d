#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build and the tests need on Debian 12 and is not there yet; nothing else. More
# packages may be named.
set -euo pipefail

packages=(
    g++ cmake ninja-build pkg-config git python3 clang-format ccache
    liburing-dev libisal-dev libboost-dev libfmt-dev libtomlplusplus-dev
    catch2 libbenchmark-dev libcli11-dev nlohmann-json3-dev
    dpkg-dev nbdkit nbdkit-plugin-dev libnbd-bin python3-libnbd fio qemu-utils strace
    e2fsprogs xfsprogs mount procps
    qemu-system-x86 busybox-static kmod cpio nvme-cli nbd-client
    redis-tools python3-redis man-db
    clang-19 libclang-rt-19-dev clang-tidy-19
    "$@"
)

missing=()
for package in "${packages[@]}"; do
    # shellcheck disable=SC2016  # the format is dpkg's
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "Missing packages: ${missing[*]}. Run this as root, or install sudo." >&2
        exit 2
    }
    as_root=(sudo)
fi

echo "Installing ${missing[*]}"
# By env, since sudo drops the caller's variables.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
# An unreachable extra package source must not stop us: the installation reports what is missing.
"${apt[@]}" update || echo "apt-get update failed in part; continuing with the existing lists" >&2
"${apt[@]}" install --yes --no-install-recommends "${missing[@]}"
