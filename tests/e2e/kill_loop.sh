#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Killed again and again, in loads and in recoveries: each time everything acknowledged is there.
source "$(dirname "$0")/lib.bash"
array_file

expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size "$(writable)"
expect 0 "$QLCSHAPE" bench array.toml --rw write --bs 4k --passes 1 --verify --verify-state stamps

kinds=(randwrite randrw randwrite randtrim)
for cycle in {1..12}; do
    # A short life ends in the recovery or in the reading back, a long one in the load.
    life=$([[ $((cycle % 3)) == 0 ]] && echo 0.0$((RANDOM % 9 + 1)) || echo 1.$((RANDOM % 9)))
    "$QLCSHAPE" bench array.toml --rw "${kinds[cycle % 4]}" --iodepth 64 --seed $cycle --runtime 30 \
        --verify --verify-state stamps >out 2>err &
    bench=$!
    sleep "$life"
    killed $bench
    if [[ $((cycle % 4)) == 0 ]]; then
        expect 0 "$QLCSHAPE" check array.toml
    fi
done

expect 0 "$QLCSHAPE" bench array.toml --rw randwrite --size 4m --verify --verify-state stamps --json
holds 'j["verified"]["before"]["mismatches"] == 0 and j["verified"]["before"]["blocks"] > 10000'
holds 'j["verified"]["mismatches"] == 0 and j["recovery"]["kind"] != "clean"'
expect 0 "$QLCSHAPE" check array.toml --json
holds 'j["problems_found"] == 0 and j["clean_close"]'
