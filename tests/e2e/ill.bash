# SPDX-License-Identifier: Apache-2.0
# Sourced after loop.bash by tests of drives that fail: files that nbdkit serves, through FUSE.
command -v nbdfuse >/dev/null || { echo "SKIPPED: no nbdfuse"; exit 77; }

# ill_drive FILE SIZE ILL HOW: as long as the file ILL is there FILE fails. HOW: `all`, each
# transfer; `writes`, all but reads.
ill_drive() {
    local kinds=error-rate=100%
    [[ $4 == all ]] || kinds="error-pwrite-rate=100% error-trim-rate=100% error-zero-rate=100%"
    # shellcheck disable=SC2086  # words
    nbdkit --exit-with-parent --foreground -U "$WORK/$1.sock" --filter=error memory "$2" \
        error=EIO $kinds error-file="$WORK/$3" >"$1.out" 2>&1 &
    until [[ -S $1.sock ]]; do sleep 0.1; done
    touch "$1"
    nbdfuse -C 4 "$1" "nbd+unix:///?socket=$WORK/$1.sock" >>"$1.out" 2>&1 &
    until [[ -s $1 ]]; do sleep 0.1; done
}

# ill_member FILE NAME SIZE ILL HOW: in array.toml such a drive NAME stands in the place of FILE. They
# go when the test ends.
ill_members=()
ill_member() {
    trap end_ill EXIT
    ill_members+=("$2")
    ill_drive "$2" "$3" "$4" "$5"
    sed -i "s/path = \"$1\"/path = \"$2\"/; /\"$2\"/{n;d}" array.toml
}
end_ill() {
    local name
    for name in "${ill_members[@]}"; do unmount "$name"; done
    end_loop
}
