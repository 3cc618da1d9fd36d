#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A volume that holds data is deleted, or loses its end, only if somebody said so: --yes, or y on a
# terminal. Of an open array as of a closed one.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
has() {
    expect 0 "$QLCSHAPE" volume list array.toml --json
    holds "[v['name'] for v in j['volumes']] == [$1]"
}
# on_terminal ANSWER WORD...: the exit code of a change of volumes that somebody sits before.
on_terminal() {
    python3 - "$QLCSHAPE" "$@" >out 2>err <<'PYTHON'
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "volume"] + sys.argv[3:])
text = b""
while b"[y/N]" not in text:
    text += os.read(terminal, 4096)
os.write(terminal, sys.argv[2].encode() + b"\n")
try:
    while True:
        os.read(terminal, 4096)
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON
}
size_is() {
    expect 0 "$QLCSHAPE" volume list array.toml --json
    holds "j['volumes'][0]['bytes'] == $1 << 20"
}
# With a block at 20 MiB of 24.
smaller() {
    expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 22MiB </dev/null
    expect 2 "$QLCSHAPE" volume resize array.toml v0 --size 20MiB --json </dev/null
    says "v0" "holds data beyond 20 MiB" "--yes"
    ! on_terminal n resize array.toml v0 --size 20MiB || fail "cut off after the answer n"
    size_is 22
    expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 24MiB </dev/null
    on_terminal y resize array.toml v0 --size 20MiB || fail "not cut off after y"
    size_is 20
    expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 24MiB
    expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 4MiB </dev/null # holds nothing now
    expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 24MiB
}
drill() {
    expect 0 "$QLCSHAPE" volume create array.toml empty --size 8MiB
    expect 0 "$QLCSHAPE" volume delete array.toml empty </dev/null
    expect 2 "$QLCSHAPE" volume delete array.toml v0 --json </dev/null
    says "v0" "holds data" "--yes"
    holds 'j["error"]["code"] == "invalid_argument"'
    for answer in n "" x; do
        ! on_terminal "$answer" delete array.toml v0 || fail "deleted after the answer \"$answer\""
        has "'v0'"
    done
    on_terminal y delete array.toml v0 || fail "not deleted after y"
    has ""
    expect 2 "$QLCSHAPE" volume delete array.toml v0
    says "no volume with this name"
    expect 0 "$QLCSHAPE" volume create array.toml v0 --size 24MiB
}
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 24MiB
# One block, not in the first MiB.
printf 'import nbd\nh = nbd.NBD()\nh.connect_uri("%s")\nh.pwrite(b"x" * 4096, 20 << 20)\n' "nbd+unix:///v0?socket=$SOCKET" >write.py
# The server notices a moment later that the client has left: then nothing holds the volume any more.
write_block() {
    expect 0 "$PYTHON" write.py
    for _ in {1..600}; do
        ! "$QLCSHAPE" volume resize array.toml v0 --size 22MiB </dev/null >out 2>err || break
        grep -q "in use" err || fail "the volume is not free, and not in use"
        sleep 0.1
    done
    expect 0 "$QLCSHAPE" volume resize array.toml v0 --size 24MiB </dev/null
}
start_server_of
write_block
smaller
write_block
drill
write_block
stop_server
smaller
expect 0 "$QLCSHAPE" bench array.toml --volume v0 --size 1m
drill
expect 0 "$QLCSHAPE" bench array.toml --volume v0 --size 1m
expect 0 "$QLCSHAPE" volume delete array.toml v0 --yes
has ""
expect 0 "$QLCSHAPE" check array.toml
