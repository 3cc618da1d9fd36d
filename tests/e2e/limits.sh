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
    --rw randread --size 64KiB' _ "$QLCSHAPE")
opens() { expect 0 "${as_user[@]}" "$QLCSHAPE" volume list array.toml --json; }

if [[ ${#as_user[@]} != 0 ]]; then # other users have processes of their own
    for threads in 1 2; do
        expect 2 "${limited[@]}" -u $threads
        says "ulimit -u"
        opens
    done
    # With some more the kernel's own threads for io_uring may be what is refused: a drive's error.
    for threads in 3 4 5; do
        code=0
        timeout 120 "${limited[@]}" -u $threads >out 2>err || code=$?
        [[ $code -le 2 ]] || fail "exit $code with $threads threads"
        opens
    done
fi
expect 0 "${limited[@]}" -n 14 # without rings and sockets, which it says
says "can't see into it"
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
