#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What it takes until a full array has all of its parity again after one of ten QLC drives was
# replaced: bytes written, compared with moving everything, which gives the same; and seconds.
#   bench/rebuild.sh [FOLDER]    the files (some 5 GB) go into a folder made there
#
# Needs build/release.
set -euo pipefail
qlcshape=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../build/release/qlcshape")

work=$(mktemp -d "$(realpath "${1:-.}")/rebuild-bench-XXXXXX")
server=
clean_up() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

{
    printf '[array]\nname = "rebuilt"\ndata_strips = 8\nstrip = "128KiB"\nband = "8MiB"\n'
    for i in {0..9}; do
        printf '[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "512MiB"\n' "$i"
    done
    for i in 0 1; do
        printf '[[device]]\nrole = "scm"\npath = "scm%d.img"\nsize = "128MiB"\n' "$i"
    done
} >array.toml
"$qlcshape" create array.toml >create.out
writable=$("$qlcshape" status array.toml --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["space"]["writable_bytes"])')
"$qlcshape" volume create array.toml v --size "$writable" >>create.out
"$qlcshape" bench array.toml --volume v --rw randwrite --iodepth 64 --prefill --passes 1 \
    >bench.out 2>&1
"$qlcshape" replace array.toml qlc3.img qlc3.img --force >replace.out
"$qlcshape" status array.toml --json >before.json
began=$(date +%s.%N)
"$qlcshape" serve array.toml --socket "$work/s" --volume v >serve.out 2>&1 &
server=$!
whole() {
    "$qlcshape" status array.toml --json >after.json
    python3 -c 'import json, sys
j = json.load(open("after.json"))
p = j["protection"]
sys.exit(0 if j["array"]["live"] and p["none"] + p["one"] == 0 else 1)'
}
until whole; do
    kill -0 "$server" || { cat serve.out >&2; exit 1; }
    sleep 0.1
done
ended=$(date +%s.%N)
python3 - "$began" "$ended" <<'END'
import json, sys
before, after = (json.load(open(f"{when}.json")) for when in ("before", "after"))
kinds = ("qlc_data", "qlc_gc", "qlc_parity", "qlc_header", "qlc_padding", "qlc_rebuild")
new = {kind: (after["bytes"][kind] - before["bytes"][kind]) / 2**20 for kind in kinds}
moved = after["space"]["used_bytes"] * 10 / 8 / 2**20
written = sum(new.values())
print(f"{written:.0f} MiB written, {new['qlc_rebuild']:.0f} of them to the new drive, the others by "
      f"GC, in {float(sys.argv[2]) - float(sys.argv[1]):.1f} s; moving everything: at least "
      f"{moved:.0f} MiB, {moved / written:.1f} times as much")
END
