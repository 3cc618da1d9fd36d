#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Read-only servers write nothing, after a crash either; and a start of nbdkit in the background that
# is bound to fail does so before nbdkit's exit code says that all is well.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 32MiB
head -c 32M /dev/urandom >image

background=(nbdkit -P "$WORK/pid" -U "$SOCKET") # without -f; its process is in the file pid
wait_for() { for _ in {1..600}; do ! "$@" || return 0; sleep 0.1; done; fail "never: $*"; }
ended_process() { [[ ! $(ps -o stat= -p "$1") =~ ^[^Z] ]]; } # nobody may be there to reap it
end_background() {
    local pid
    pid=$(<pid)
    kill -TERM "$pid"
    wait_for ended_process "$pid"
    rm -f pid "$SOCKET"
}
# refused TEXT OPTION...: the start fails, with that in its message, and leaves nothing.
refused() {
    local text=$1
    shift
    expect 1 "${background[@]}" "$@"
    says "$text"
    [[ ! -e pid && ! -e $SOCKET ]] || fail "files are left"
}

start_server
expect 0 nbdcopy image "$URI"
kill_server # what the last segments had is in the TPS

sha256sum ./*.img >before
start_server --read-only
expect 0 nbdinfo --is read-only "$URI"
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "a read-only server's data"
kill -TERM "$server"
ended "$server" || fail "exit $?"
server=
expect 0 "${background[@]}" -r "$PLUGIN" array=array.toml volume=v0
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "data with nbdkit -r"
expect 0 nbdkit -r -P "$WORK/pid.2" -U "$SOCKET.2" "$PLUGIN" array=array.toml # a second one
wait_for test -s pid.2 # written after the fork
kill -TERM "$(<pid.2)"
mv pid pid.1
mv "$SOCKET" "$SOCKET.1"
refused "in use" "$PLUGIN" array=array.toml volume=v0
mv pid.1 pid
end_background
rm "$SOCKET.1"
expect 0 "$QLCSHAPE" bench array.toml --volume v0 --read-only --rw randread --size 1m
expect 2 "$QLCSHAPE" bench array.toml --volume v0 --read-only --rw randwrite --size 1m
says "--read-only" "randwrite"
sha256sum --quiet -c before || fail "a read-only server wrote"

refused "no volume with this name" "$PLUGIN" array=array.toml volume=v1
mkdir away
mv qlc0.img qlc1.img qlc2.img away/
refused "missing" "$PLUGIN" array=array.toml volume=v0
mv away/* .

# Files that can't be written: of another user, where this one can read them.
if [[ $(id -u) == 0 ]] && chmod 755 . && chmod 644 ./*.img array.toml &&
    setpriv --reuid=65534 --clear-groups test -x "$QLCSHAPE"; then
    expect 0 setpriv --reuid=65534 --clear-groups nbdkit -r -U - "$PLUGIN" array=array.toml volume=v0 \
        --run "nbdcopy \"\$uri\" - | cmp - image"
fi
start_server
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "data after recovery"
stop_server

# What fails only after the fork leaves neither pid file nor socket. Limits on processes count for
# ordinary users alone.
if [[ $(id -u) == 0 ]]; then
    cp "$PLUGIN" plugin.so
    chmod 755 "$WORK"
    chown -R 65533:65533 .
    # At this limit nbdkit goes into the background, and the engine gets too few threads. How many the kernel
    # itself takes differs: it may also fail before that, or the engine may start and leave none for nbdkit's
    # connections. A client's connection ends in any case: when it is served, refused, or the server is gone.
    gone() { [[ ! -e pid && ! -e nbd.sock ]]; }
    started_or_gone() { [[ -s pid ]] || gone; }
    # shellcheck disable=SC2016
    if timeout -k 5 60 setpriv --reuid 65533 --regid 65533 --clear-groups bash -c 'ulimit -u 7
        exec nbdkit --pidfile="$1/pid" -U nbd.sock ./plugin.so array=array.toml volume=v0' _ "$WORK" >out 2>err; then
        wait_for started_or_gone
        timeout 60 nbdinfo --size "nbd+unix:///?socket=$WORK/nbd.sock" >out 2>err || (($? != 124)) ||
            fail "the server takes connections and says nothing"
        pid=$(cat pid 2>/dev/null) || true
        if [[ -n $pid ]] && kill "$pid" 2>/dev/null; then
            wait_for ended_process "$pid" # it had started
        else
            wait_for gone # it failed: it removes both before it ends
        fi
    fi
fi
