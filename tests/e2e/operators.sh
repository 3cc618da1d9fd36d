#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What operators look at: status, metrics for Prometheus, top, the log.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/unpacked.bash"
# From its package (19 MB), which would start a service if it were installed.
promtool=$(command -v promtool || echo "$(unpacked prometheus)/usr/bin/promtool")
[[ -x $promtool ]] || promtool=
array_file
sed -i '0,/^\[\[device\]\]/s//[engine]\nmetrics = "live.prom"\n\n[[device]]/' array.toml
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size "$(writable)"

is_metrics() {
    grep -q '^qlcshape_user_bytes_total{array="e2e",op="write"} ' "$1" || fail "no metrics in $1"
    if [[ -n $promtool ]]; then
        sed -n '/^<!-- rules -->$/,/^```$/p' "$ROOT/docs/operations.md" | sed '1,2d;$d' >rules.yml
        "$promtool" check rules rules.yml >promtool.out 2>&1 || { cat promtool.out; fail "promtool, of the rules"; }
        "$promtool" check metrics <"$1" >promtool.out 2>&1 || { cat promtool.out; fail "promtool, of $1"; }
    else
        echo "SKIPPED in part: no promtool, so it does not check the metrics"
    fi
}

# A closed array: the drives' wear, and the same as metrics.
expect 0 "$QLCSHAPE" bench array.toml --rw randwrite --iodepth 64 --passes 2 --runtime 20
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["endurance"]["rated_cycles"] == 1000 and 0 < j["endurance"]["cycles_used"] < 1000'
holds 'sum(d["written_bytes"] for d in j["devices"] if d["role"] == "qlc") > j["bytes"]["user_written"]'
holds 'all(d["written_bytes"] > j["bytes"]["tps_written"] > 0 for d in j["devices"] if d["role"] == "scm")'
expect 0 "$QLCSHAPE" status array.toml
grep -q '^wear .* of 1000 cycles; too early to tell .* of the first day' out || fail "status without wear"
expect 0 "$QLCSHAPE" status array.toml --prometheus
is_metrics out
expect 2 "$QLCSHAPE" status array.toml --prometheus --json

# While it is open: the file, top, and a status of that moment.
[[ ! -e live.prom ]] || fail "metrics of a closed array"
expect 2 "$QLCSHAPE" top array.toml
says array.toml "no process of this user has the array open"
"$QLCSHAPE" bench array.toml --rw randrw --iodepth 16 --runtime 60 >load.out 2>load.err &
load=$!
sleep 3
is_metrics live.prom
expect 0 "$QLCSHAPE" top array.toml
for words in '^array  *e2e  open' '^write .*/s .*p50' '^WAF  *now' '^closed ' '90-100'; do
    grep -q "$words" out || fail "top without: $words"
done
! grep -q '^write  *0 B/s' out || fail "top sees no load"
written() {
    expect 0 "$QLCSHAPE" status array.toml --json
    holds 'j["array"]["state"] == "open" and j["array"]["live"]'
    python3 -c 'import json; print(json.load(open("out"))["bytes"]["user_written"])'
}
before=$(written)
sleep 1
(($(written) > before)) || fail "status tells nothing new of an open array"
# Who hangs is not waited for.
kill -STOP $load
expect 2 "$QLCSHAPE" top array.toml
says "does not answer"
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["array"]["state"] == "open" and not j["array"]["live"]'
kill -CONT $load
written >/dev/null

# Killed, it leaves its file; the next opening says that it recovers.
killed $load
[[ -e live.prom ]] || fail "a kill took the metrics away"
expect 0 "$QLCSHAPE" status array.toml
head -1 out | grep -q '^CRASHED: ' || fail "line 1 does not tell of the crash"
grep -q 'no process has it open; the next opening recovers it from its newest snapshot' out || fail "nor what comes next"
grep -q 'lack what was counted between the last snapshot and' out || fail "status does not say what its counters lack"
expect 1 "$QLCSHAPE" status array.toml --exit-code --json
holds 'j["array"]["state"] == "crashed" and j["array"]["health"] == "ok" and j["array"]["counters_incomplete"]'
expect 0 "$QLCSHAPE" status array.toml
expect 0 "$QLCSHAPE" bench array.toml --rw randread --size 4m
says "had not been closed cleanly"
[[ ! -e live.prom ]] || fail "metrics of a closed array"
expect 0 "$QLCSHAPE" bench array.toml --rw randread --size 4m
! grep -q "closed cleanly" err || fail "a warning without a cause"

# A file that can't be written is told, and is no reason to stop.
sed -i 's/live.prom/nowhere\/live.prom/' array.toml
expect 0 "$QLCSHAPE" bench array.toml --rw randread --size 4m
says "metrics can't be written"
expect 0 "$QLCSHAPE" check array.toml
