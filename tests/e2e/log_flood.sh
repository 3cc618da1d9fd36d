#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# When writing has ended, a server's log says so and why, and does not grow with each request that fails.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 32MiB
start_server
prlimit --pid "$(pgrep -P "$server" nbdkit)" --fsize=4096
expect 0 "$PYTHON" - "$URI" <<'PYTHON'
import errno, nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for i in range(1000):
    try:
        h.pwrite(b"x" * 4096, 4096 * i)
        sys.exit("written")
    except nbd.Error as e:
        assert e.errnum == errno.EIO, e
PYTHON
code=0
kill -TERM "$server"
ended "$server" || code=$?
server=
[[ $code == 1 ]] || fail "the server ended with $code"
grep -q "writing has ended after the system refused a transfer (.*File too large.*ulimit -f" serve.err || fail "no cause: $(cat serve.err)"
grep -q "like this in the last" serve.err || fail "no count: $(cat serve.err)"
(($(wc -l <serve.err) < 30)) || fail "$(wc -l <serve.err) lines"
