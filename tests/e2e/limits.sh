#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Limits of the system: each ends in a message that names it and in exit code 2, and the array opens
# afterwards.
source "$(dirname "$0")/lib.bash"

array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 4MiB

# Limits on processes count for ordinary users alone.
as_user=()
if [[ $(id -u) == 0 ]]; then
    cp "$QLCSHAPE" qlcshape # where it is may not be for other users
    QLCSHAPE=$WORK/qlcshape
    chmod 755 "$WORK"
    chown -R 65533:65533 .
    as_user=(setpriv --reuid 65533 --regid 65533 --clear-groups)
fi
# A load under `ulimit LIMIT VALUE`: the two follow.
# shellcheck disable=SC2016  # the inner shell's words
limited=("${as_user[@]}" bash -c 'ulimit "$2" "$3"; exec "$1" bench array.toml --volume v0 \
    --rw randrw --size 64KiB --verify' _ "$QLCSHAPE")
opens() { expect 0 "${as_user[@]}" "$QLCSHAPE" volume list array.toml --json; }

if [[ ${#as_user[@]} != 0 ]]; then # other users have processes of their own
    for threads in 1 2 3 4 5 6 7; do
        expect 2 "${limited[@]}" -u $threads
        says "ulimit -u"
        opens
    done
    # Enough for the engine: none is left for the kernel's own, nor to answer the command.
    expect 0 "${limited[@]}" -u 8
    says "kernel can't start its threads" "can't query it"
    opens
    # Rings count against locked memory for ordinary users; the slow way is said, also while it is open.
    expect 0 "${limited[@]}" -l 64
    says "blocking calls" "64 KiB" "ulimit -l"
    # shellcheck disable=SC2016
    "${as_user[@]}" bash -c 'ulimit -l 64; exec "$1" bench array.toml --volume v0 --rw randread \
        --passes 1000000 --runtime 100' _ "$QLCSHAPE" >bench.out 2>bench.err &
    bench=$!
    for ((tries = 0; tries < 500; tries++)); do
        expect 0 "${as_user[@]}" "$QLCSHAPE" status array.toml --json
        grep -q '"live": true' out && break
        sleep 0.1
    done
    holds 'j["io"]["method"] == "blocking" and "64 KiB" in j["io"]["slow"][0]'
    expect 0 "${as_user[@]}" "$QLCSHAPE" status array.toml
    grep -q "I/O *blocking" out || fail "status does not say how transfers are made"
    expect 0 "${as_user[@]}" "$QLCSHAPE" status array.toml --prometheus
    grep -q 'io_method.*method="blocking"} 1' out || fail "no metric of the slow way"
    kill -INT $bench
    wait $bench || fail "bench ended with $? on SIGINT"
fi
expect 0 "${limited[@]}" -n 14 # without rings and sockets, which it says
says "can't query it"
expect 2 "${limited[@]}" -n 8
says "open files" "ulimit -n"
opens
sed -i '/^\[array\]/i [engine]\npmt_cache = "64MiB"\n' array.toml
expect 2 "${limited[@]}" -v 60000
says memory "ulimit -v"
opens
sed -i 's/"64MiB"/"1000TiB"/' array.toml
expect 2 "${limited[@]}" -v unlimited
says pmt_cache "1000 TiB" RAM
expect 2 "$QLCSHAPE" create array.toml --force
says pmt_cache
sed -i 's/"1000TiB"/"4MiB"/' array.toml
opens
expect 0 "${limited[@]}" -v unlimited

if unshare --mount true 2>/dev/null; then
    expect 2 unshare --mount bash -c 'mount -t tmpfs none /proc && exec "$@"' _ \
        "$QLCSHAPE" serve array.toml --socket s.sock
    says /proc
fi
