#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Exit codes, verb by verb: 0 done, 1 it ran and found a problem, 2 it could not run.
source "$(dirname "$0")/lib.bash"

# code SITUATION WANTED VERB...: of array.toml as it is now.
code() {
    local situation=$1 wanted=$2 got=0
    shift 2
    timeout 120 "$QLCSHAPE" "$@" >out 2>err </dev/null || got=$?
    [[ $got == "$wanted" ]] || fail "$situation: exit $got, not $wanted: $*"
    # What fails says why, as text and as JSON.
    [[ $wanted != 2 || -s err ]] || fail "$situation: no message: $*"
}
read=(bench array.toml --rw read --size 1m)
write=(bench array.toml --rw write --size 1m)

for broken in none text; do
    [[ $broken == none ]] || echo "[array" >array.toml
    for verb in create status top check "volume list" bench; do
        # shellcheck disable=SC2086
        code "$broken array file" 2 $verb array.toml
    done
    code "$broken array file" 2 volume create array.toml v0 --size 4MiB
    code "$broken array file" 2 serve array.toml --socket s.sock
done

array_file
for verb in status check "volume list"; do
    # shellcheck disable=SC2086
    code "before create" 2 $verb array.toml
done
code "before create" 0 devices .
code "new" 0 create array.toml
code "again" 2 create array.toml
code "no volume" 2 "${read[@]}"
code "new" 0 volume create array.toml v0 --size 8MiB
code "again" 2 volume create array.toml v0 --size 8MiB
code "closed" 0 "${write[@]}" --verify
code "closed" 0 status array.toml --exit-code
code "closed" 0 status array.toml --prometheus
code "closed" 0 check array.toml
code "closed" 0 volume list array.toml
code "closed" 0 devices .
code "closed" 2 top array.toml
code "holds data" 2 volume delete array.toml v0
code "holds data" 2 volume resize array.toml v0 --size 4KiB
code "no such volume" 2 volume delete array.toml v9
code "no such volume" 2 serve array.toml --volume v9 --socket s.sock

# Output that can't be written is no success, and a message that can't be is no crash.
unwritten() {
    local wanted=$1 got=0
    shift
    "$@" || got=$?
    [[ $got == "$wanted" ]] || fail "exit $got, not $wanted, with output that can't be written: $*"
}
for verb in status check "volume list" "status --json" "status --prometheus"; do
    # shellcheck disable=SC2086
    {
        unwritten 2 "$QLCSHAPE" $verb array.toml >/dev/full 2>err
        says "No space left"
        unwritten 2 "$QLCSHAPE" $verb array.toml >&- 2>err
        unwritten 2 "$QLCSHAPE" $verb nosuch.toml 2>/dev/full
        unwritten 2 "$QLCSHAPE" $verb nosuch.toml 2>&-
    } </dev/null
done
unwritten 2 "$QLCSHAPE" staus array.toml 2>/dev/full
unwritten 2 "$QLCSHAPE" volume create array.toml v0 --size 8MiB 2>&- </dev/null

# Somebody has it open and does not answer.
exec 9>>qlc0.img
flock 9
code "locked" 0 status array.toml
code "locked" 2 check array.toml
code "locked" 2 volume create array.toml v1 --size 4MiB
exec 9>&-

# A block that something else overwrote: it is rebuilt, and check says so.
python3 - <<'PYTHON'
with open("qlc1.img", "r+b") as file:
    data = file.read()
    for at in range(4 << 20, len(data), 4096):
        if any(data[at:at + 4096]):
            file.seek(at)
            file.write(b"\xa5" * 4096)
            break
PYTHON
code "damaged" 1 check array.toml
code "damaged" 0 "${read[@]}"
code "damaged" 0 status array.toml

mkdir away
mv qlc0.img away/
code "degraded" 0 status array.toml
code "degraded" 1 status array.toml --exit-code
code "degraded" 0 "${read[@]}"
code "degraded" 0 "${write[@]}"
code "degraded" 0 volume create array.toml v1 --size 4MiB
code "degraded" 0 volume list array.toml
code "degraded" 1 devices .
mv qlc1.img qlc2.img away/
code "three away" 0 status array.toml
code "three away" 1 status array.toml --exit-code
code "three away" 2 check array.toml
code "three away" 2 "${read[@]}"
code "three away" 1 devices .
mv away/* .

code "other" 2 devices none
code "other" 2 bench array.toml --rw sideways
code "other" 2 sim --seeds 2..1
code "other" 0 sim --seeds 1..1 --cycles 1
