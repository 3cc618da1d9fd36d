#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The server is killed under load again and again (QLCSHAPE_KILLS times, default 10), also while it
# recovers; after each restart every acknowledged write is there, at times without two QLC drives.
E2E=$(cd "$(dirname "$0")" && pwd)
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 40MiB
"$PYTHON" "$E2E/nbd_kill.py" "$QLCSHAPE" "${QLCSHAPE_KILLS:-10}" || fail "see above"
expect 0 "$QLCSHAPE" check array.toml
