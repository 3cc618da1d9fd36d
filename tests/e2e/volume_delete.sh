#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A volume that holds data is deleted only if somebody said so: --yes, or y on a terminal. Of an open
# array as of a closed one.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
has() {
    expect 0 "$QLCSHAPE" volume list array.toml --json
    holds "[v['name'] for v in j['volumes']] == [$1]"
}
# on_terminal ANSWER: the exit code of a deletion that somebody sits before.
on_terminal() {
    python3 - "$QLCSHAPE" "$1" >out 2>err <<'PYTHON'
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "volume", "delete", "array.toml", "v0"])
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
drill() {
    expect 0 "$QLCSHAPE" volume create array.toml empty --size 8MiB
    expect 0 "$QLCSHAPE" volume delete array.toml empty </dev/null
    expect 2 "$QLCSHAPE" volume delete array.toml v0 --json </dev/null
    says "v0" "holds data" "--yes"
    holds 'j["error"]["code"] == "invalid_argument"'
    for answer in n "" x; do
        ! on_terminal "$answer" || fail "deleted after the answer \"$answer\""
        has "'v0'"
    done
    on_terminal y || fail "not deleted after y"
    has ""
    expect 2 "$QLCSHAPE" volume delete array.toml v0
    says "none of that name"
    expect 0 "$QLCSHAPE" volume create array.toml v0 --size 24MiB
}
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 24MiB
# One block, not in the first MiB.
printf 'import nbd\nh = nbd.NBD()\nh.connect_uri("%s")\nh.pwrite(b"x" * 4096, 20 << 20)\n' "nbd+unix:///v0?socket=$SOCKET" >write.py
start_server_of
expect 0 "$PYTHON" write.py
drill
expect 0 "$PYTHON" write.py
stop_server
drill
expect 0 "$QLCSHAPE" bench array.toml --volume v0 --size 1m
expect 0 "$QLCSHAPE" volume delete array.toml v0 --yes
has ""
expect 0 "$QLCSHAPE" check array.toml
