#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Drives of an array of version 2 of the disk format: each verb says so and what helps, and none
# changes them.
source "$(dirname "$0")/lib.bash"

array_file
expect 0 "$QLCSHAPE" create array.toml
# The first block of a drive as `create` wrote it at the time of version 2.
base64 -d >block.gz <<'BLOCK'
H4sIAAAAAAACAwv0cQ72cAxw5X3wbB0TgwLTe1H3RgYGRgZcYBrjnmdvrvou3JbnLOJwYMncylMcbY5tHn5t2y7aRamvEkLX
icskRnT5BhiDAyaApgQizgLEbEDMBMQOvMxgSRSsZsCvwM8Btyc/JyW1iGEUjIJRMApGwSgYBaNgFIyCUTAKRsEoGNkAAJv2
F7AAEAAA
BLOCK
gunzip block.gz
for drive in *.img; do
    size=$(stat -c %s "$drive")
    truncate -s 0 "$drive"
    truncate -s "$size" "$drive"
    dd if=block of="$drive" conv=notrunc status=none
done
sha256sum ./*.img >before

# refused FILE CODE COMMAND...: it says so in FILE.
refused() {
    local file=$1
    shift
    expect "$@"
    for text in qlc0.img 'its disk format is version 2' 'reads only' 'the release that made it' 'copy the volumes'; do
        grep -qF -- "$text" "$file" || fail "no word of: $text"
    done
}
refused err 2 "$QLCSHAPE" status array.toml
refused err 2 "$QLCSHAPE" check array.toml
refused err 2 "$QLCSHAPE" volume list array.toml
refused err 2 "$QLCSHAPE" volume create array.toml v --size 1MiB
refused out 1 "$QLCSHAPE" devices qlc0.img
if command -v nbdkit >/dev/null; then
    refused err 2 "$QLCSHAPE" serve array.toml --socket "$WORK/socket"
fi
expect 2 "$QLCSHAPE" create array.toml
says 'belongs to an array'
sha256sum --quiet -c before || fail "a drive was changed"
