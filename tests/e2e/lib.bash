# SPDX-License-Identifier: Apache-2.0
# Sourced by the tests here: a temporary folder, an array of a few small files, and expectations.
set -euo pipefail
: "${QLCSHAPE:?the command under test}"

WORK=$(mktemp -d "${TMPDIR:-/tmp}/qlcshape-e2e-XXXXXX")
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"

fail() {
    echo "FAILED: $*" >&2
    [[ -s err ]] && sed 's/^/  stderr: /' err >&2
    [[ -s out ]] && sed 's/^/  stdout: /' out | head -50 >&2
    exit 1
}

# expect CODE COMMAND...: runs it, with its output in the files out and err.
expect() {
    local wanted=$1 code=0
    shift
    timeout 120 "$@" >out 2>err || code=$?
    [[ $code == "$wanted" ]] || fail "exit $code, not $wanted: $*"
}

# killed PID: a child that had not ended before.
killed() {
    local code=0
    kill -KILL "$1" 2>/dev/null || fail "process $1 ended by itself"
    wait "$1" 2>/dev/null || code=$?
    [[ $code == 137 ]] || fail "process $1 ended by itself with $code"
}

# says TEXT...: the last command's message has each of them.
says() {
    for text in "$@"; do
        grep -qiF -- "$text" err || fail "no word of: $text"
    done
}

# holds EXPRESSION: true of the last command's JSON, which is called j.
holds() {
    python3 - "$1" out <<'PYTHON' || fail "not so: $1"
import json, sys
with open(sys.argv[2]) as file:
    j = json.load(file)
assert j["schema"] == 1
sys.exit(0 if eval(sys.argv[1]) else 1)
PYTHON
}

# array_file [QLC SIZE]: array.toml of 4+2 QLC files and 2 SCM files; some 60 MB for volumes.
array_file() {
    local size=${1:-24MiB}
    {
        printf '[array]\nname = "e2e"\ndata_strips = 4\nstrip = "32KiB"\nband = "512KiB"\n'
        for i in 0 1 2 3 4 5; do
            printf '\n[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "%s"\n' $i "$size"
        done
        for i in 0 1; do
            printf '\n[[device]]\nrole = "scm"\npath = "scm%d.img"\nsize = "16MiB"\n' $i
        done
    } >array.toml
}

# writable: what volumes may be promised in all, bytes.
writable() {
    "$QLCSHAPE" status array.toml --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["space"]["writable_bytes"])'
}
