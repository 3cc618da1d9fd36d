#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds for 64-bit Arm and runs the simulator under qemu-user: the same histories as here, event by
# event. The release build must be there. Some ten minutes to build, and as many to run.
# Debian's libraries for arm64 are unpacked in build/aarch64-root: some of them can't be installed
# next to this machine's own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install_packages.sh g++-aarch64-linux-gnu qemu-user

libraries=(
    libfmt9 libfmt-dev libisal2 libisal-dev liburing2 liburing-dev libtomlplusplus3
    libtomlplusplus-dev libbenchmark1debian libbenchmark-dev nbdkit-plugin-dev
)
root=$PWD/build/aarch64-root
if [ ! -e "$root/complete" ]; then
    rm -rf "$root"
    mkdir -p "$root"/apt/{lists/partial,cache/archives/partial}
    touch "$root/apt/status"
    apt=(
        apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64
        -o "Dir::State::lists=$root/apt/lists" -o "Dir::Cache=$root/apt/cache"
        -o "Dir::State::status=$root/apt/status"
    )
    "${apt[@]}" update || echo "apt-get update failed in part" >&2
    (cd "$root/apt" && "${apt[@]}" download "${libraries[@]}")
    for package in "$root"/apt/*.deb; do dpkg-deb -x "$package" "$root"; done
    touch "$root/complete"
fi

cmake --preset aarch64
cmake --build --preset aarch64 --target sim_tests qlcshape

arm=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
echo "== traces: release against aarch64"
traces() { "$@" '[traces]' | grep '^trace of'; }
traces build/release/tests/sim_tests >build/traces.release
traces "${arm[@]}" build/aarch64/tests/sim_tests >build/traces.aarch64
diff build/traces.release build/traces.aarch64
echo "== campaign"
"${arm[@]}" build/aarch64/qlcshape sim --profile all --seeds 1..40
