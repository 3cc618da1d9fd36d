#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The key-value example against redis-server with `appendonly yes, appendfsync always`, both on the
# same disk: redis-benchmark's SET and GET, 50 clients, one command at a time and 16 in a pipeline.
#   bench/kv.sh [FOLDER]    the files go into a folder made there; default: here
# Needs build/release and, from Debian, redis-tools and redis-server's binary.
set -euo pipefail
build=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../build/release")
for program in redis-benchmark redis-server "$build/examples/kv_store"; do
    command -v "$program" >/dev/null || { echo "no $program" >&2; exit 2; }
done
requests=${REQUESTS:-40000}

work=$(mktemp -d "$(realpath "${1:-.}")/kv-bench-XXXXXX")
servers=()
clean_up() {
    [[ ${#servers[@]} == 0 ]] || kill "${servers[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT
cd "$work"

{
    printf '[array]\nname = "kv"\ndata_strips = 8\nstrip = "128KiB"\nband = "16MiB"\n'
    for i in {0..9}; do
        printf '\n[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "512MiB"\n' "$i"
    done
    for i in 0 1; do
        printf '\n[[device]]\nrole = "scm"\npath = "scm%d.img"\nsize = "512MiB"\n' "$i"
    done
} >array.toml
"$build/qlcshape" create array.toml
"$build/qlcshape" volume create array.toml kv --size 1GiB
"$build/examples/kv_store" array.toml --volume kv --socket "$work/kv.sock" >kv.out &
servers+=($!)
redis-server --port 0 --unixsocket "$work/redis.sock" --dir "$work" --save '' \
    --appendonly yes --appendfsync always >redis.out &
servers+=($!)
until grep -q ready kv.out && [[ -S redis.sock ]]; do sleep 0.1; done

# rate SERVER TEST OPTION...: requests a second.
rate() {
    local server=$1 test=$2
    shift 2
    redis-benchmark -s "$work/$server.sock" -t "$test" -n "$requests" -c 50 -d 100 -r 100000 \
        --csv "$@" | awk -F'"' 'END { print $4 }'
}

printf '%-22s %12s %12s %8s\n' '' kv_store redis ratio
for pipeline in 1 16; do
    for test in set get; do
        kv=$(rate kv $test -P $pipeline)
        redis=$(rate redis $test -P $pipeline)
        awk -v name="$test, pipeline $pipeline" -v kv="$kv" -v redis="$redis" \
            'BEGIN { printf "%-22s %12.0f %12.0f %8.2f\n", name, kv, redis, kv / redis }'
    done
done
