#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The scrub, closed and served: what is damaged on two drives is found and rewritten, nothing else
# is, and no read is wrong. QLCSHAPE_ROUNDS: that many rounds of damage.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

serve_image
stop_server

# An array that nobody has open is opened for it.
expect 2 "$QLCSHAPE" scrub array.toml --start
says "no process of this user has the array open"
expect 2 "$QLCSHAPE" scrub array.toml --rate 0
says "--rate"
expect 0 "$QLCSHAPE" scrub array.toml --json
holds 'j["verb"] == "scrub" and j["state"] == "done" and j["strips_wrong"] == 0'
holds 'j["bytes_read"] > 40 << 20'

# damage SEED QLC...: 100 blocks of each of these drives: a bit, zeroes, another block, a sector.
damage() {
    python3 - "$@" <<'PYTHON'
import random, sys
r = random.Random(int(sys.argv[1]))
BLOCK = 4096
for drive in sys.argv[2:]:
    with open(f"qlc{drive}.img", "r+b") as f:
        blocks = range(2 * (512 << 10) // BLOCK, (24 << 20) // BLOCK)
        for n in r.sample(blocks, 100):
            f.seek(n * BLOCK)
            was = bytearray(f.read(BLOCK))
            kind = r.randrange(4)
            if kind == 0:
                was[r.randrange(BLOCK)] ^= 1 << r.randrange(8)
            elif kind == 1:
                was = bytes(BLOCK)
            elif kind == 2:
                f.seek(r.choice(blocks) * BLOCK)
                was = f.read(BLOCK)
            else:
                at = 512 * r.randrange(8)
                was[at : at + 512] = r.randbytes(512)
            f.seek(n * BLOCK)
            f.write(was)
PYTHON
}

# strips: those that check finds wrong, in the file $1.
strips() {
    "$QLCSHAPE" check array.toml --json >out 2>err || [[ $? == 1 ]] || fail "check can't run"
    holds 'j["problems_found"] == len(j["problems"])'
    holds 'all("is not what was written; it can be rebuilt" in p for p in j["problems"])'
    python3 -c 'import json
for p in json.load(open("out"))["problems"]: print(p)' >"$1"
}

for round in $(seq "${QLCSHAPE_ROUNDS:-2}"); do
    two=$(shuf -n 2 -i 0-5 --random-source=<(yes "$round") | tr '\n' ' ')
    # check names 100 problems, so one drive after the other.
    for drive in $two; do
        damage "$round$drive" "$drive"
    done
    expect 1 "$QLCSHAPE" check array.toml --json
    found=$(python3 -c 'import json; print(json.load(open("out"))["problems_found"])')
    expect 1 "$QLCSHAPE" scrub array.toml --json
    wrong=$(python3 -c 'import json; print(json.load(open("out"))["strips_wrong"])')
    # Bands that are open are read when they have been closed: at most four of 16 segments. Some
    # are erased by GC, for space, before the scrub comes to them.
    strips left
    left=$(wc -l <left)
    ((left <= 4 * 16 * 2)) || fail "$left strips are still wrong"
    ((wrong + left <= found && 10 * (wrong + left) >= 8 * found)) ||
        fail "$found strips were wrong, $wrong found, $left left"
    expect 0 "$QLCSHAPE" scrub array.toml --json
    start_server
    expect 0 nbdcopy "$URI" copy
    cmp image copy || fail "wrong data, round $round"
    # What was open is written again, so that the next round begins with what is right.
    expect 0 nbdcopy --flush image "$URI"
    stop_server
    expect 0 "$QLCSHAPE" status array.toml --json
    holds 'j["array"]["health"] == "ok"'
done

# In the server that has the array open, with damage under it.
start_server
expect 0 "$QLCSHAPE" scrub array.toml --start --rate 1MiB
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["jobs"][0]["kind"] == "scrub" and j["jobs"][0]["state"] == "asked"'
expect 0 "$QLCSHAPE" status array.toml
grep -q '^jobs      scrub (asked)' out || fail "status does not show it"
expect 0 "$QLCSHAPE" top array.toml
grep -q '^jobs      scrub (asked)' out || fail "top does not show it"
expect 0 "$QLCSHAPE" scrub array.toml --stop
expect 2 "$QLCSHAPE" scrub array.toml --wait
says "the pass was stopped"
expect 2 "$QLCSHAPE" scrub array.toml --stop
says "no pass of the scrub that was asked for is under way"
expect 2 "$QLCSHAPE" scrub array.toml --wait --rate 1MiB
says "--rate"
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["jobs"][0]["state"] == "scheduled" and j["jobs"][0]["seconds_left"] > 86400'
damage 77 1 4
expect 0 "$QLCSHAPE" scrub array.toml --start --rate 20MiB
expect 1 "$QLCSHAPE" scrub array.toml --wait --json
holds 'j["state"] == "done" and j["strips_wrong"] > 50'
expect 0 "$QLCSHAPE" status array.toml --json
holds 'j["scrub"]["strips_wrong"] > 50 and j["scrub"]["bands_damaged"] == 0'
expect 0 "$QLCSHAPE" scrub array.toml
grep -q "all that was read is as it was written" out || fail "a second pass finds more"
expect 0 nbdcopy "$URI" copy
cmp image copy || fail "wrong data after damage under a server"
stop_server

sed -i 's/^\[array\]/[engine]\nscrub_days = 0\n\n[array]/' array.toml
start_server --read-only
expect 2 "$QLCSHAPE" scrub array.toml
says "read-only" "qlcshape check"
kill -TERM "$server"
ended "$server" || fail "the server ended with an error"
server=
start_server
expect 0 "$QLCSHAPE" status array.toml
grep -q '^jobs      none' out || fail "a scrub without a schedule"
stop_server
sed -i 's/^scrub_days = 0/scrub_days = 4000/' array.toml
expect 2 "$QLCSHAPE" scrub array.toml
says "scrub_days is 4000" "3650"
