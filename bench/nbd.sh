#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A volume over NBD against nbdkit's own plugins, by fio at depth 32 on one connection: on files
# against `file` on the same disk, on memory devices against `memory`. The servers take turns; a
# figure is the median of the rounds.
#   bench/nbd.sh [FOLDER]    the files (8 GB) go into a folder made there; default: here
#   ROUNDS=3 SECONDS_EACH=4 SIZE_MIB=1024
#
# What is alike: nothing is answered from the page cache. Every write of ours is durable when it is
# answered, so `file` has its writes made durable too (nbdkit's fua filter); "file, cached" shows it
# as it comes, where a write is answered as soon as it is in DRAM. Before reads caches are dropped.
# Needs build/release and, from Debian, nbdkit and fio.
set -euo pipefail
build=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../build/release")
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-4} size=${SIZE_MIB:-1024}
for program in nbdkit fio "$build/qlcshape"; do
    command -v "$program" >/dev/null || { echo "no $program" >&2; exit 2; }
done
plugin=$build/nbdkit-qlcshape-plugin.so

work=$(mktemp -d "$(realpath "${1:-.}")/nbd-bench-XXXXXX")
servers=()
clean_up() {
    [[ ${#servers[@]} == 0 ]] || kill "${servers[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

array() { # array PREFIX SUFFIX: 8+2 QLC and 2 SCM drives of 512 MiB
    printf '[array]\nname = "nbd"\ndata_strips = 8\nstrip = "128KiB"\nband = "8MiB"\n'
    for i in {0..9}; do
        printf '\n[[device]]\nrole = "qlc"\npath = "%sqlc%d%s"\nsize = "512MiB"\n' "$1" "$i" "$2"
    done
    for i in 0 1; do
        printf '\n[[device]]\nrole = "scm"\npath = "%sscm%d%s"\nsize = "512MiB"\n' "$1" "$i" "$2"
    done
}
array "" .img >files.toml
array memory: "" >memory.toml
"$build/qlcshape" create files.toml >create.out
"$build/qlcshape" volume create files.toml v --size "${size}MiB" >>create.out
truncate -s "${size}M" file.img

serve() { # serve NAME NBDKIT-ARGUMENT...
    local name=$1
    shift
    nbdkit --foreground --exit-with-parent --threads=64 -U "$work/$name.sock" "$@" 2>"$name.err" &
    servers+=($!)
    for _ in {1..300}; do [[ -S $name.sock ]] && return; sleep 0.1; done
    cat "$name.err" >&2
    exit 1
}
serve qlcshape "$plugin" array=files.toml volume=v
serve file --filter=fua file file.img fuamode=force
serve cached file file.img
serve qlcshape_memory "$plugin" array=memory.toml volume=v "memory=${size}M"
serve memory memory "${size}M"

run() { # run SERVER FIO-OPTION...
    fio --name=load --ioengine=nbd --uri="nbd+unix:///?socket=$work/$1.sock" --size="${size}m" --iodepth=32 \
        --output-format=json --output=fio.json --randrepeat=0 --norandommap "${@:2}" >/dev/null
}
figure() { # figure SERVER LOAD BLOCK: 4k in requests a second, others in MB a second
    sync
    [[ $2 != *read || $(id -u) != 0 ]] || echo 3 >/proc/sys/vm/drop_caches
    # In order everything is read once: a second time it would come from the page cache.
    local more=(--time_based)
    [[ $2 != read ]] || more=()
    run "$1" --rw="$2" --bs="$3" --runtime="$seconds" "${more[@]}"
    python3 -c 'import json, sys
job = json.load(open("fio.json"))["jobs"][0]
side = job["read" if sys.argv[1].endswith("read") else "write"]
print(side["iops"] if sys.argv[2] == "4k" else side["bw_bytes"] / 1e6)' "$2" "$3"
}

# Everything is written before, so that nobody is slowed by a first touch: our drives wholly, which
# takes the volume several times over.
for server in file memory; do run $server --rw=write --bs=1m; done
loops=$((5 * 1024 / size + 1))
for server in qlcshape qlcshape_memory; do run $server --rw=write --bs=1m --loops=$loops; done
for round in $(seq "$rounds"); do
    for load in "randwrite 4k" "randread 4k" "write 128k" "read 128k"; do
        for server in qlcshape file cached qlcshape_memory memory; do
            # shellcheck disable=SC2086
            echo "$server ${load/ /_} $(figure $server $load)" >>figures
        done
        echo "round $round: $load" >&2
    done
done

python3 - <<'PYTHON'
import statistics
of = {}
for line in open("figures"):
    server, load, value = line.split()
    of.setdefault((server, load), []).append(float(value))
print(f"{'':16}{'qlcshape':>10}{'file':>10}{'ratio':>8}{'file, cached':>14}{'ratio':>8}"
      f"{'on memory':>12}{'memory':>10}{'ratio':>8}")
for load in ("randwrite_4k", "randread_4k", "write_128k", "read_128k"):
    m = {s: statistics.median(of[s, load])
         for s in ("qlcshape", "file", "cached", "qlcshape_memory", "memory")}
    ours, mem = m["qlcshape"], m["qlcshape_memory"]
    print(f"{load:16}{ours:10.0f}{m['file']:10.0f}{ours / m['file']:8.2f}{m['cached']:14.0f}"
          f"{ours / m['cached']:8.2f}{mem:12.0f}{m['memory']:10.0f}{mem / m['memory']:8.2f}")
print("4k in requests/s, 128k in MB/s; medians. All figures:")
for (server, load), values in of.items():
    print(f"  {server:16}{load:14}" + "".join(f"{v:10.0f}" for v in values))
PYTHON
