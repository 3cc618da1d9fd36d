# SPDX-License-Identifier: Apache-2.0
# Sourced after lib.bash by the tests of the key-value store: an array with the volume kv, and the
# server on it.
command -v redis-cli >/dev/null || { echo "no redis-cli: install redis-tools"; exit 77; }
KV_STORE=$BUILD/examples/kv_store
[[ -f $KV_STORE ]] || { echo "no $KV_STORE: build the examples"; exit 77; }

kv_array() {
    array_file "$@"
    expect 0 "$QLCSHAPE" create array.toml
    expect 0 "$QLCSHAPE" volume create array.toml kv --size "$(writable)"
}

# kv_start [OPTION...]: starts the server and waits until it is ready.
kv_start() {
    [[ $# -gt 0 ]] || set -- --socket kv.sock
    : >kv.out
    "$KV_STORE" array.toml --volume kv "$@" >kv.out 2>kv.err &
    kv=$!
    for _ in {1..1200}; do
        grep -q ready kv.out && return
        kill -0 "$kv" 2>/dev/null || { cp kv.err err; fail "kv_store ended"; }
        sleep 0.05
    done
    fail "kv_store is not ready after a minute"
}

kv_stop() {
    kill -TERM "$kv"
    wait "$kv" || { cp kv.err err; fail "kv_store ended with $?"; }
}

kv_kill() { killed "$kv"; }

# The server must not outlive the test.
trap '[[ -z ${kv-} ]] || kill -KILL "$kv" 2>/dev/null || true; wait; rm -rf "$WORK"' EXIT

# cli ARGUMENT...: redis-cli's raw output.
cli() { redis-cli -s kv.sock --raw "$@"; }

# answers WANTED COMMAND...
answers() {
    local wanted=$1 got
    shift
    got=$(cli "$@") || fail "redis-cli $*"
    [[ $got == "$wanted" ]] || fail "$* answered: ${got:0:200} (wanted: ${wanted:0:200})"
}
