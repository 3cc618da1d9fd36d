#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How long an array takes to open after a kill -9, when 1% of its volume was written at random since
# the last snapshot.
#   bench/recovery.sh [FOLDER]    the files (sparse; 20 GB are written) go into a folder made there
#   SIZE_GIB=1024 WRITTEN_GIB=10 SHARDS=1
#
# Caches are dropped before the opening where that is allowed. Needs build/release.
set -euo pipefail
qlcshape=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../build/release/qlcshape")
size=${SIZE_GIB:-1024} written=${WRITTEN_GIB:-10} shards=${SHARDS:-1}

work=$(mktemp -d "$(realpath "${1:-.}")/recovery-bench-XXXXXX")
writer=
clean_up() {
    [[ -z $writer ]] || kill -9 "$writer" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

{
    printf '[array]\nname = "large"\ndata_strips = 8\nstrip = "128KiB"\nband = "16MiB"\n'
    printf '[engine]\npmt_cache = "%dMiB"\nshards = %d\nmetrics = "large.prom"\n' \
        $((size * 2 + 64)) "$shards"
    for i in {0..9}; do
        printf '[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "%dGiB"\n' "$i" $((size / 6 + 1))
    done
    for i in 0 1; do
        printf '[[device]]\nrole = "scm"\npath = "scm%d.img"\nsize = "%dMiB"\n' "$i" $((size * 3 + 512))
    done
} >array.toml
"$qlcshape" create array.toml >create.out
"$qlcshape" volume create array.toml v --size "${size}GiB" >>create.out

"$qlcshape" bench array.toml --volume v --rw randwrite --iodepth 64 --size "$((written * 4))GiB" \
    >bench.out 2>&1 &
writer=$!
mib_written() {
    awk '/^qlcshape_user_bytes_total.*op="write"/ { print int($NF / 2^20) }' large.prom 2>/dev/null
}
until [[ $(mib_written || true) -ge $((written * 1024)) ]]; do
    kill -0 "$writer" || { cat bench.out >&2; exit 1; }
    sleep 0.2
done
kill -9 "$writer"
wait "$writer" 2>/dev/null || true
writer=

sync
if ! echo 3 2>/dev/null >/proc/sys/vm/drop_caches; then
    echo "caches can't be dropped here: what is read may come from them"
fi
# Opens, reads a block, and closes, which takes longer.
"$qlcshape" bench array.toml --volume v --rw randread --size 4KiB --json >opened.json
python3 - <<'END'
import json
r = json.load(open("opened.json"))["recovery"]
print(f"{r['kind']}: {r['seconds']:.2f} s, {r['segments_scanned']} headers read, "
      f"{r['tps_records']} TPS records, {r['blocks_replayed']} blocks replayed")
END
