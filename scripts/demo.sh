#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 to the demonstration: installs, builds the command, runs it. Options are
# those of `qlcshape demo`.
set -euo pipefail
# Options may name paths relative to where the caller stands, so no cd.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

"$root"/scripts/install_packages.sh
(
    cd "$root"
    cmake --preset release
    cmake --build --preset release --target qlcshape
)
exec "$root"/build/release/qlcshape demo "$@"
