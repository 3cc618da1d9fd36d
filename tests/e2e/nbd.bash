# SPDX-License-Identifier: Apache-2.0
# Sourced after lib.bash by tests of the NBD server: an array, a server for one of its volumes.
PLUGIN=$BUILD/nbdkit-qlcshape-plugin.so
[[ -e $PLUGIN ]] || { echo "SKIPPED: $PLUGIN is not built (builds with sanitizers have none)"; exit 77; }
PYTHON=/usr/bin/python3 # Debian's libnbd module belongs to this one
SOCKET=$WORK/nbd.sock
URI="nbd+unix:///?socket=$SOCKET"
server=

# ended PID: waits for a child, returns its exit code; after a minute it is killed.
ended() {
    for _ in {1..600}; do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    # shellcheck disable=SC2046  # its children are words
    ! kill -0 "$1" 2>/dev/null || {
        echo "process $1 does not end by itself" >&2
        kill -KILL $(pgrep -P "$1") "$1"
    }
    wait "$1"
}

end_server() {
    if [[ -n $server ]] && kill -TERM "$server" 2>/dev/null; then
        ended "$server" || true
    fi
    rm -rf "$WORK"
}
trap end_server EXIT

# start_server [OPTION...]: serves v0 at $SOCKET, and returns when I/O works.
start_server() { start_server_of --volume v0 "$@"; }
# start_server_of [OPTION...]: the same with the volumes that the options name; without: all.
start_server_of() {
    rm -f uri
    "$QLCSHAPE" serve array.toml --socket "$SOCKET" "$@" >uri 2>serve.err &
    server=$!
    for _ in {1..600}; do
        [[ ! -s uri ]] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    fail "no server: $(cat serve.err)"
}

# create_v0: the array of array.toml, whose volume v0 leaves 4 MiB; its size is in $bytes, and the
# file image, of random bytes, has it.
create_v0() {
    expect 0 "$QLCSHAPE" create array.toml
    bytes=$(($(writable) - 4194304))
    expect 0 "$QLCSHAPE" volume create array.toml v0 --size "$bytes"
    head -c "$bytes" /dev/urandom >image
}

# serve_image: a new array; its volume v0 is served, and holds what the file image does.
serve_image() {
    array_file
    create_v0
    start_server
    expect 0 nbdcopy --flush image "$URI"
}

# new_path OLD NEW: as the operator writes it into the array file.
new_path() { sed -i "s/path = \"$1\"/path = \"$2\"/" array.toml; }

# kill_server: a crash of it. The command outlives nbdkit, and says that the array was not closed.
kill_server() {
    local code=0
    kill -KILL "$(pgrep -P "$server" nbdkit)"
    ended "$server" || code=$?
    server=
    [[ $code == 1 ]] || fail "after its nbdkit was killed the server ended with $code"
}

# stop_server: as an operator does; the array must be closed in order.
stop_server() {
    local code=0
    kill -TERM "$server"
    ended "$server" || code=$?
    server=
    [[ $code == 0 ]] || fail "the server ended with $code: $(cat serve.err)"
    [[ ! -e $SOCKET ]] || fail "the socket's file is left"
    expect 0 "$QLCSHAPE" status array.toml --json
    holds '"clean" == j["recovery"]["kind"]'
}

# wait_for EXPRESSION [WHAT]: until it is true of the status, which is called j, and which `holds` sees
# afterwards. WHAT is said if it never is.
wait_for() {
    local i
    for ((i = 0; ; ++i)); do
        expect 0 "$QLCSHAPE" status array.toml --json
        python3 -c "import json, sys; j = json.load(open('out')); sys.exit(not ($1))" && break
        ((i < 600)) || fail "${2-it never holds: $1}"
        sleep 0.1
    done
}

# wait_for_parity WHAT: until every band has all of it.
wait_for_parity() {
    wait_for 'j["protection"]["none"] == 0 and j["protection"]["one"] == 0' "$1 still lacks parity"
}
