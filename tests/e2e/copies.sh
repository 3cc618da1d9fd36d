#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A copy of an array beside the array: each command acts on the drives that its array file names.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"

array_file 24MiB
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 4MiB
mkdir copy
cp array.toml ./*.img copy
start_server

# The copy is closed: the command opens it itself.
expect 0 "$QLCSHAPE" status copy/array.toml --json
holds 'not j["array"]["live"]'
expect 2 "$QLCSHAPE" top copy/array.toml
expect 0 "$QLCSHAPE" volume resize copy/array.toml v0 --size 8MiB
expect 0 "$QLCSHAPE" volume delete copy/array.toml v0
expect 0 "$QLCSHAPE" volume list array.toml --json
holds 'j["volumes"][0]["name"] == "v0" and j["volumes"][0]["bytes"] == 4 << 20'

# By other paths to the same drives the server is found.
mkdir links
for image in *.img; do ln "$image" "links/$image"; done
cp array.toml links
expect 0 "$QLCSHAPE" status links/array.toml --json
holds 'j["array"]["live"]'
# One of the copy's drives among the array's.
rm links/qlc2.img
cp copy/qlc2.img links
expect 2 "$QLCSHAPE" volume delete links/array.toml v0
says links/qlc2.img "(nbdkit)" "copy"
expect 2 "$QLCSHAPE" status links/array.toml
says links/qlc2.img "(nbdkit)"

# The copy is served as well, and what is asked of it stays there.
"$QLCSHAPE" serve copy/array.toml --socket "$WORK/copy.sock" >copy.uri 2>copy.err &
second=$!
for _ in {1..600}; do
    expect 0 "$QLCSHAPE" status copy/array.toml --json
    ! grep -q '"live": *true' out || break
    sleep 0.1
done
holds 'j["array"]["live"]'
expect 0 "$QLCSHAPE" volume create copy/array.toml v1 --size 4MiB
expect 0 "$QLCSHAPE" volume list array.toml --json
holds 'len(j["volumes"]) == 1'
kill -TERM $second
ended $second || fail "the copy's server: $(cat copy.err)"

# From another network namespace nobody can be asked: the drives are locked, and it says by whom.
if unshare --net true 2>/dev/null; then
    expect 2 unshare --net "$QLCSHAPE" volume delete array.toml v0
    says "(nbdkit)" "in another network namespace"
fi
stop_server

# Both were opened by themselves since. A drive of the copy among the array's is named, as an opening
# names it, and is left out of an array file that is written.
member='next(m for m in j["arrays"][0]["members"] if (m["role"], m["index"]) == '
for drive in scm0 qlc2; do
    others=()
    for image in *.img; do [[ $image == $drive.img ]] || others+=("$image"); done
    expect 1 "$QLCSHAPE" devices "${others[@]}" copy/$drive.img --json
    holds "$member (\"${drive:0:3}\", ${drive:3}))[\"state\"] == \"diverged\""
    holds "not j[\"arrays\"][0][\"complete\"] and \"contents of copy/$drive.img\" in j[\"arrays\"][0][\"problem\"]"
    sed "s|\"$drive.img|\"copy/$drive.img|" array.toml >mixed.toml
    expect 2 "$QLCSHAPE" volume create mixed.toml v2 --size 1MiB
    says "copy/$drive.img: it belongs to a copy of this array that was opened by itself"
    expect 1 "$QLCSHAPE" status mixed.toml --exit-code
    grep -q "^FAILED.*copy/$drive.img: it belongs to a copy of this array" out || fail "status"
    expect 0 "$QLCSHAPE" volume list mixed.toml --json
    holds '[v["name"] for v in j["volumes"]] == ["v0"]' # not the copy's v1
done
expect 1 "$QLCSHAPE" devices "${others[@]}" copy/qlc2.img --write-array without.toml
grep -q "degraded, it opens without copy/qlc2.img" out ||
    fail "not said how it opens"
expect 0 "$QLCSHAPE" volume list without.toml --json
holds 'j["volumes"][0]["name"] == "v0"'
expect 0 "$QLCSHAPE" devices ./*.img
