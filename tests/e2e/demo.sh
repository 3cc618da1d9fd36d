#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo, small: nothing wrong, nothing left behind; with --keep an array that can be used.
source "$(dirname "$0")/lib.bash"

expect 0 "$QLCSHAPE" demo --dir "$WORK" --size 72MiB
grep -q "Nothing was lost or wrong" out || fail "no conclusion"
[[ -z $(ls -d qlcshape-demo-* 2>/dev/null) ]] || fail "it left its folder"

expect 0 "$QLCSHAPE" demo --dir "$WORK" --size 72MiB --keep --json
holds 'j["ok"] and j["verified"]["mismatches"] == 0 and j["verified"]["blocks"] == 2 * (72 << 20) // 4096'
holds 'j["recovery"]["kind"] in ("snapshot", "full") and j["recovery"]["segments_scanned"] > 0'
holds 'j["gc"]["bands_moved"] > 0 and j["waf"]["data"] > 1 and j["acknowledged_at_kill"] > 10000'
holds 'j["inplace"]["ratio"] > 0 and 5.9 < j["inplace"]["ios_per_write"] < 6.1'
expect 0 "$QLCSHAPE" check qlcshape-demo-*/array.toml
expect 0 "$QLCSHAPE" bench qlcshape-demo-*/array.toml --rw randread --size 1m
[[ -z $(ls qlcshape-demo-* | grep -v '^array.toml$\|^qlc[0-9]*.img$\|^scm[0-9]*.img$') ]] || fail "odd files are left"

expect 2 "$QLCSHAPE" demo --dir "$WORK/none"
says "$WORK/none" --dir
expect 2 "$QLCSHAPE" demo --dir "$WORK" --size 1MiB
says "at least"
[[ $(ls -d qlcshape-demo-* | wc -l) == 1 ]] || fail "a failed demo left its folder"
