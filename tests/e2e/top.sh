#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# top on a terminal: lines are cut to its width, also after a change of it, q ends it, and the terminal
# is as before.
source "$(dirname "$0")/lib.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 2 "$QLCSHAPE" top array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 8MiB
"$QLCSHAPE" bench array.toml --rw randwrite --iodepth 1 --runtime 60 --passes 1000000 >bench.out 2>&1 & bench=$!
for _ in {1..1200}; do
    ! "$QLCSHAPE" top array.toml >out 2>err || break
    sleep 0.1
done
grep -q '^write ' out || fail "no view without a terminal"
[[ $(awk '{ if (length > n) n = length } END { print n }' out) -gt 60 ]] || fail "no line to cut"
cat >watch.py <<'PYTHON'
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time

def size(columns, rows):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

def views(wanted):
    """The next view for which `wanted` holds; each begins by clearing the screen."""
    global seen
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for view in seen.split(b"\x1b[H\x1b[2J")[1:]:
            lines = view.decode().replace("\r", "").split("\n")
            if wanted(lines):
                return lines
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536)
    sys.exit(f"no such view in {seen[-2000:]!r}")

command, key = sys.argv[1:]
terminal, side = pty.openpty()
seen = b""
size(30, 10)
before = termios.tcgetattr(side)
def own():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
top = subprocess.Popen([command, "top", "array.toml"], stdin=side, stdout=side, stderr=side, preexec_fn=own)
wide = lambda lines: max(map(len, lines))
views(lambda lines: wide(lines) == 30 and len(lines) == 10)
assert not termios.tcgetattr(side)[3] & termios.ICANON
seen = b""
size(50, 40)
views(lambda lines: wide(lines) == 50 and len(lines) > 20)
if key == "signal":
    top.send_signal(signal.SIGTERM)
else:
    os.write(terminal, key.encode())
assert top.wait(60) == 0
assert termios.tcgetattr(side) == before, "the terminal is not as before"
PYTHON
for key in q $'\003' signal; do
    expect 0 python3 watch.py "$QLCSHAPE" "$key"
done
kill -INT $bench
wait $bench || fail "bench ended with $? on SIGINT"
