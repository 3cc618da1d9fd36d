#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Drives come back as they were some minutes before, in the same opening, after a clean close and
# after a kill: each is refused by name, or everything reads as it was last written and the array has
# all its redundancy. Never older data, and no redundancy that is gone without a word.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
head -c 16M /dev/zero | tr '\0' 1 >one
head -c 16M /dev/zero | tr '\0' 2 >two
mkdir fresh now

# fresh QLC_DRIVES: an array with `one` in it.
fresh() {
    rm -f ./*.img fresh/*.img
    {
        printf '[array]\nname = "older"\ndata_strips = 3\nstrip = "64KiB"\nband = "256KiB"\noverprovision = 0.2\n'
        printf '\n[engine]\npmt_cache = "1MiB"\n'
        for ((i = 0; i < $1; i++)); do
            printf '\n[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "20MiB"\n' "$i"
        done
        for i in 0 1; do
            printf '\n[[device]]\nrole = "scm"\npath = "scm%d.img"\nsize = "24MiB"\n' $i
        done
    } >array.toml
    expect 0 "$QLCSHAPE" create array.toml
    expect 0 "$QLCSHAPE" volume create array.toml v0 --size 16MiB
    start_server
    expect 0 nbdcopy --flush one "$URI"
    stop_server
    cp ./*.img fresh
}

# older clean|kill PART DRIVE...: of `two` the first PART bytes are written after the images were made.
older() {
    local how=$1 part=$2 drive
    shift 2
    cp fresh/*.img .
    { head -c "$part" two; tail -c +$((part + 1)) one; } >wanted
    start_server
    for drive in "$@"; do cp "$drive.img" "old-$drive"; done
    head -c "$part" wanted >written
    expect 0 nbdcopy --flush written "$URI"
    if [[ $how == clean ]]; then
        stop_server
    else
        kill -KILL "$(pgrep -P "$server")" "$server" 2>/dev/null || true
        wait "$server" || true
        server=
    fi
    for drive in "$@"; do mv "old-$drive" "$drive.img"; done
    cp ./*.img now # as it is found
    if ! (start_server) >start.out 2>&1; then
        for drive in "$@"; do
            grep -qF "$drive.img" start.out && refused=$((refused + 1)) && return 0
        done
        fail "$how $part $*: refused without the name of an older drive: $(cat start.out)"
    fi
    server=$(pgrep -f "serve array.toml --socket $SOCKET" | head -1)
    expect 0 nbdcopy "$URI" got
    cmp wanted got || fail "$how $part $*: older data"
    kill -TERM "$server"
    for _ in {1..600}; do kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
    server=
    expect 0 "$QLCSHAPE" check array.toml
    taken=$((taken + 1))
}

refused=0 taken=0
fresh 5
for how in clean kill; do
    for part in $((16 << 20)) 4096; do
        older $how $part scm1
        older $how $part qlc3
        older $how $part qlc0 qlc2
        older $how $part scm0 qlc1
    done
    # All SCM drives: what was written after a kill leaves a trace once it is on the QLC drives.
    older $how $((16 << 20)) scm0 scm1
    older $how $((16 << 20)) scm0 scm1 qlc4
done
echo "$refused refused by name, $taken taken with everything right"
[[ $refused -ge 8 && $taken -ge 4 ]] || fail "refused $refused, taken $taken"

# Bands on five of nine drives, and in any slots.
refused=0 taken=0
fresh 9
for part in $((16 << 20)) $((2 << 20)); do
    older kill $part qlc3
    older kill $part qlc0 qlc2 scm0
    older kill $part scm0 scm1
    older kill $part scm0 scm1 qlc4
done
older clean $((16 << 20)) scm0 qlc1
echo "of nine drives: $refused refused by name, $taken taken with everything right"
[[ $refused -ge 6 ]] || fail "of nine drives: refused $refused, taken $taken"
