#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What an error advises is tried: it must work.
source "$(dirname "$0")/lib.bash"

# without FILE: the array file without that drive.
without() {
    python3 - "$1" <<'PYTHON'
import sys
with open("array.toml") as file:
    parts = file.read().split("\n[[device]]")
with open("array.toml", "w") as file:
    file.write("\n[[device]]".join(p for p in parts if f'"{sys.argv[1]}"' not in p))
PYTHON
}
reads() { expect 0 "$QLCSHAPE" bench array.toml --volume v0 --rw read --size 1m; }
refused() { expect 2 "$QLCSHAPE" bench array.toml --volume v0 --rw read --size 1m; }

array_file
sed -i 's|"qlc0.img"|"folder/qlc0.img"|' array.toml
expect 2 "$QLCSHAPE" create array.toml
says "its folder does not exist" "create it first"
mkdir folder
head -c 1M /dev/urandom >scm0.img
expect 2 "$QLCSHAPE" create array.toml
says scm0.img --force
expect 0 "$QLCSHAPE" create array.toml --force
cp array.toml whole.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 4MiB
expect 0 "$QLCSHAPE" bench array.toml --volume v0 --rw write
cp qlc1.img old.img
expect 0 "$QLCSHAPE" bench array.toml --volume v0 --rw write
cp qlc1.img current.img

# A QLC drive that is older, blank, damaged, of another array, or there twice.
cp old.img qlc1.img
refused
says "qlc1.img: it is older" "remove it from the array file" "opens without it"
without qlc1.img
reads
cp whole.toml array.toml
cp current.img qlc1.img # "restore its current contents"
reads
cp qlc1.img current.img # an opening changes it; one without it does not

truncate -s 0 qlc1.img
truncate -s 24M qlc1.img
refused
says "qlc1.img" "remove it from the array file"
without qlc1.img
reads
cp whole.toml array.toml

mkdir other
(cd other && array_file && mkdir folder && "$QLCSHAPE" create array.toml >/dev/null)
cp other/qlc1.img qlc1.img
refused
says qlc1.img "belongs to array" "remove it from the array file"
without qlc1.img
reads
cp whole.toml array.toml
cp current.img qlc1.img

cp current.img twin.img
printf '\n[[device]]\nrole = "qlc"\npath = "twin.img"\n' >>array.toml
refused
says twin.img qlc1.img
without twin.img
reads

# An SCM drive that is blank: the array opens without it. Where the table has one copy its contents
# are needed.
cp scm1.img kept.img
: >scm1.img
truncate -s 16M scm1.img
refused
says "scm1.img" "remove it from the array file"
without scm1.img
reads
cp whole.toml array.toml
mv kept.img scm1.img
reads
(
    mkdir single && cd single && array_file
    sed -i 's/^name.*/&\npmt_copies = 1/' array.toml
    expect 0 "$QLCSHAPE" create array.toml
    rm scm1.img
    truncate -s 16M scm1.img
    expect 2 "$QLCSHAPE" check array.toml
    says "scm1.img" "every scm drive is needed"
)

# A user who may only read, and one who may not even that. `create` opens nothing read-only.
if [[ $(id -u) == 0 ]]; then
    cp "$QLCSHAPE" command
    chmod -R a+rX,go-w .
    as_user=(setpriv --reuid=65534 --clear-groups ./command)
    expect 2 "${as_user[@]}" volume create array.toml other --size 1MiB
    says "Permission denied" "check its owner" "can still be opened read-only"
    expect 0 "${as_user[@]}" bench array.toml --volume v0 --read-only --rw read --size 1m
    expect 2 "${as_user[@]}" create array.toml --force
    says "check its owner"
    ! grep -q "read-only" err || fail "create is to open the array read-only"
    chmod go-r folder/*.img ./*.img
    for words in "check array.toml" "volume create array.toml other --size 1MiB"; do
        # shellcheck disable=SC2086  # its words
        expect 2 "${as_user[@]}" $words
        says "check its owner"
        ! grep -q "read-only" err || fail "to open read-only what may not be read"
    done
fi

# The size that the file does not have.
sed -i '0,/"24MiB"/s//"32MiB"/' array.toml
reads # sizes count for create alone
expect 2 "$QLCSHAPE" volume delete array.toml v0 </dev/null
says --yes
expect 0 "$QLCSHAPE" volume delete array.toml v0 --yes
