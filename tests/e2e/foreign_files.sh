#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Options that name a file to write, by mistake given the file of a drive, or somebody's own: it is
# left as it is, and the message does not advise to remove, move or overwrite it.
source "$(dirname "$0")/lib.bash"

array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 4MiB
echo mine >note
head -c 12288 /dev/urandom >sized # as large as the state of a volume of 4 MiB in units of 4 KiB
ln -s qlc1.img link
: >empty
# Opening the array writes to its drives: they must still be whole in the end.
md5sum note sized empty >before

harmless() {
    [[ -s err ]] || fail "no message"
    ! grep -Eiq 'remove|delete|overwrite it|move it|start again|truncate it' err || fail "bad advice"
    md5sum --quiet -c before || fail "a file was changed"
}

for path in qlc0.img scm0.img link note sized empty; do
    expect 2 "$QLCSHAPE" bench array.toml --rw randwrite --bs 4k --size 1m --verify --verify-state $path
    says "$path"
    harmless
    expect 2 "$QLCSHAPE" serve array.toml --socket $path
    says "$path"
    harmless
    expect 2 "$QLCSHAPE" devices . --write-array $path
    says "$path"
    harmless
    [[ $path != empty ]] || continue # there is nothing in it that metrics could take the place of
    sed "1i [engine]\nmetrics = \"$path\"\n" array.toml >metrics.toml
    expect 2 "$QLCSHAPE" bench metrics.toml --rw randwrite --size 1m
    says "$path"
    ! grep -Eiq 'remove|delete|move it' err || fail "bad advice"
    md5sum --quiet -c before || fail "a file was changed"
done
expect 2 "$QLCSHAPE" bench array.toml --rw randwrite --size 1m --verify --verify-state empty
says "it is empty" "does not exist yet"
mkfifo pipe
expect 2 "$QLCSHAPE" bench array.toml --rw randwrite --size 1m --verify --verify-state pipe
says pipe
expect 2 "$QLCSHAPE" create array.toml
says "another path" --force
harmless

# A state of another volume is named as such.
expect 0 "$QLCSHAPE" bench array.toml --rw randwrite --bs 4k --size 1m --verify --verify-state stamps
[[ $(echo stamps*) == stamps ]] || fail "left: $(echo stamps*)"
md5sum stamps >before
expect 0 "$QLCSHAPE" volume create array.toml v1 --size 8MiB
expect 2 "$QLCSHAPE" bench array.toml --volume v1 --rw randwrite --bs 4k --size 1m --verify \
    --verify-state stamps
says "4 MiB" "8 MiB"
! grep -Eiq 'remove|delete' err || fail "bad advice"
md5sum --quiet -c before || fail "a state was changed"
truncate -s 5000 stamps
expect 2 "$QLCSHAPE" bench array.toml --volume v0 --rw randwrite --bs 4k --size 1m --verify \
    --verify-state stamps
says "truncated"
expect 0 "$QLCSHAPE" check array.toml
