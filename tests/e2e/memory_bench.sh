#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench --memory: the array file's sizes, nothing on disk.
source "$(dirname "$0")/lib.bash"
array_file 48MiB

expect 0 "$QLCSHAPE" bench array.toml --memory --rw randwrite --bs 4k --iodepth 32 --size 200m \
    --random-distribution zipf:0.99 --verify --json
holds 'j["verified"]["mismatches"] == 0 and j["verified"]["blocks"] == j["volume"]["bytes"] // 4096'
holds 'j["bytes"]["user_written"] == 200 << 20 and j["iops"]["write"] > 0'
holds 'j["space"]["writable_bytes"] == j["volume"]["bytes"]'
[[ ! -e qlc0.img ]] || fail "it touched the files"

# A skewed load leaves GC less to move than a uniform one.
expect 0 "$QLCSHAPE" bench array.toml --memory --prefill --passes 4 --json
uniform=$(python3 -c 'import json; print(json.load(open("out"))["waf"]["data"])')
expect 0 "$QLCSHAPE" bench array.toml --memory --prefill --passes 4 --random-distribution zipf:1.1 --json
holds "1 < j['waf']['data'] < $uniform"

expect 0 "$QLCSHAPE" bench array.toml --memory --runtime 1 --rw randrw --verify --json
holds '0.8 < j["seconds"] < 3 and j["iops"]["read"] > 0 and j["verified"]["mismatches"] == 0'

expect 0 "$QLCSHAPE" bench array.toml --memory --runtime 1 --prefill --inplace --json
holds 'j["inplace"]["iops"]["write"] > 0 and j["inplace"]["ratio"] > 0'
holds '5.9 < j["inplace"]["ios_per_write"] < 6.1'

# SIGINT ends a load early and in good order.
"$QLCSHAPE" bench array.toml --memory --runtime 20 --json >out 2>err &
bench=$!
for _ in {1..300}; do # until the load has begun, which on a busy machine takes a while
    ! grep -q '^randwrite: ' err || break
    sleep 0.1
done
kill -INT $bench
wait $bench || fail "bench did not end well on SIGINT"
holds 'j["seconds"] < 15 and j["iops"]["write"] > 0'
