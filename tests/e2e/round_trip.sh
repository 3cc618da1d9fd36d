#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# create, volumes, loads of all kinds, status and check, on small files.
source "$(dirname "$0")/lib.bash"
array_file

expect 0 "$QLCSHAPE" create array.toml --json
holds 'j["space"]["writable_bytes"] > 0 and len(j["devices"]) == 8'
bytes=$(writable)

expect 0 "$QLCSHAPE" volume create array.toml v0 --size "$bytes"
expect 2 "$QLCSHAPE" volume create array.toml v1 --size 4KiB
expect 0 "$QLCSHAPE" volume list array.toml --json
holds "len(j['volumes']) == 1 and j['volumes'][0]['name'] == 'v0' and j['volumes'][0]['bytes'] == $bytes"
expect 0 "$QLCSHAPE" volume list array.toml
grep -q v0 out || fail "no v0 in the list"

# Past the point where GC must run, and everything read back.
expect 0 "$QLCSHAPE" bench array.toml --rw randwrite --iodepth 64 --prefill --passes 3 --verify --json
holds "j['verified']['mismatches'] == 0 and j['verified']['blocks'] == $bytes // 4096"
holds 'j["gc"]["bands_moved"] > 0 and j["bytes"]["qlc_gc"] > 0 and j["bytes"]["qlc_parity"] > 0'
holds 'abs(j["waf"]["data"] - (1 + j["bytes"]["qlc_gc"] / j["bytes"]["user_written"])) < 0.01'
holds '1 < j["waf"]["data"] < j["waf"]["total"] < 20'
holds 'j["iops"]["write"] > 0 and j["iops"]["read"] == 0'
holds '0 < j["latency_us"]["write"]["p50"] <= j["latency_us"]["write"]["p99"] <= j["latency_us"]["write"]["max"]'
holds "j['bytes']['user_written'] == 3 * $bytes // 4096 * 4096"

for load in "randread --bs 16k" "randrw --bs 4k --rwmixread 70" "randrw --bs 512" "randwrite --bs 6144" \
    "write --bs 1m" "rw --bs 3584" "read --bs 64k" "randtrim --bs 8k" \
    "randwrite --random-distribution zipf:1.2"; do
    # shellcheck disable=SC2086
    expect 0 "$QLCSHAPE" bench array.toml --volume v0 --rw $load --size 8m --prefill --verify --json
    holds 'j["verified"]["mismatches"] == 0 and j["verified"]["blocks"] > 1000'
done

expect 0 "$QLCSHAPE" status array.toml --json
for field in space.writable_bytes space.used_bytes bytes.user_written bytes.user_read \
    bytes.tps_written bytes.qlc_data bytes.qlc_gc bytes.qlc_parity bytes.qlc_header \
    bytes.qlc_padding bytes.pmt_written waf.data waf.total pmt.hits pmt.misses gc.bands_moved \
    gc.blocks_moved recovery.kind recovery.seconds recovery.segments_scanned \
    latency_us.read.p50 latency_us.read.p99 latency_us.write.p999 latency_us.write.max iops.read \
    iops.write verified.blocks verified.mismatches; do
    holds "j$(sed "s/\([a-z0-9_]*\)\.*/['\1']/g" <<<"$field") is not None"
done
holds 'all(d["uuid"] and d["path"] and d["role"] in ("qlc", "scm") and d["state"] == "online" and d["errors"] == 0 for d in j["devices"])'
holds 'j["recovery"]["kind"] in ("clean", "snapshot", "full")'
holds "j['space']['used_bytes'] <= $bytes and j['bytes']['user_written'] > 3 * $bytes"
expect 0 "$QLCSHAPE" status array.toml
grep -q '^WAF' out || fail "status without a WAF"

expect 0 "$QLCSHAPE" check array.toml --json
holds 'j["problems_found"] == 0 and j["problems"] == [] and j["blocks"] > 0 and j["clean_close"]'

# A deleted volume's place is free again, and reads as zeroes.
expect 0 "$QLCSHAPE" volume delete array.toml v0 --yes
expect 2 "$QLCSHAPE" volume delete array.toml v0 --yes
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["space"]["used_bytes"] == 0 and j["space"]["promised_bytes"] == 0 and j["volumes"] == []'
expect 0 "$QLCSHAPE" volume create array.toml v1 --size "$bytes"
expect 0 "$QLCSHAPE" bench array.toml --size 8m --verify
expect 0 "$QLCSHAPE" check array.toml
