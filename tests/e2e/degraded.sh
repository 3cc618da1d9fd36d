#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Killed, and then two QLC drives are gone: everything acknowledged can be read without them, and
# again with them.
source "$(dirname "$0")/lib.bash"
array_file

expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size "$(writable)"
expect 0 "$QLCSHAPE" bench array.toml --rw write --bs 4k --passes 1 --verify --verify-state stamps

mkdir away
kinds=(randwrite randtrim randrw)
for cycle in {1..5}; do
    "$QLCSHAPE" bench array.toml --rw "${kinds[cycle % 3]}" --iodepth 64 --seed "$cycle" --runtime 30 \
        --verify --verify-state stamps >out 2>err &
    bench=$!
    sleep 1.$((RANDOM % 9))
    killed $bench

    one=$((RANDOM % 6))
    other=$(((one + 1 + RANDOM % 5) % 6))
    mv qlc$one.img qlc$other.img away/
    expect 0 "$QLCSHAPE" bench array.toml --rw randread --size 1m --verify --verify-state stamps --json
    holds 'j["verified"]["before"]["mismatches"] == 0 and j["verified"]["before"]["blocks"] > 10000'
    mv away/* .
    # What was in flight and was found without them is found with them.
    expect 0 "$QLCSHAPE" bench array.toml --rw randread --size 1m --verify --verify-state stamps --json
    holds 'j["verified"]["before"]["mismatches"] == 0 and j["verified"]["before"]["in_flight_kept"] == 0'
done
expect 0 "$QLCSHAPE" check array.toml
