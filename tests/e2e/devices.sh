#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# devices finds arrays by what is on their drives, says what is missing, older, there twice, damaged and
# foreign, writes nothing to them, also while they are in use, and makes an array file that opens.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
array_file
mkdir -p drives other
sed -i 's|path = "|path = "drives/|' array.toml
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 8MiB
expect 0 "$QLCSHAPE" bench array.toml --rw randwrite --verify --verify-state stamps --size 4MiB
sums() { sha256sum drives/*; }
before=$(sums)
# member ROLE INDEX: of the first array.
member='next(m for m in j["arrays"][0]["members"] if (m["role"], m["index"]) == '

expect 0 "$QLCSHAPE" devices drives --json
holds 'len(j["arrays"]) == 1 and j["arrays"][0]["name"] == "e2e" and j["arrays"][0]["state"] == "clean"'
holds 'j["arrays"][0]["complete"] and j["damaged"] == j["unreadable"] == j["foreign"] == []'
holds '[(m["role"], m["index"], m["state"]) for m in j["arrays"][0]["members"]] == [("qlc", i, "member") for i in range(6)] + [("scm", i, "member") for i in range(2)]'
holds "$member (\"qlc\", 3))[\"paths\"] == [\"drives/qlc3.img\"]"
expect 0 "$QLCSHAPE" devices drives
grep -q "clean: it was closed" out || fail "not said to be clean"

# Named files, a folder's others, and the current folder.
head -c 1M /dev/urandom >other/noise
expect 0 "$QLCSHAPE" devices drives other --json
holds 'j["foreign"] == []'
expect 1 "$QLCSHAPE" devices drives/qlc[0-4].img drives/scm0.img other/noise --json
holds '[f["path"] for f in j["foreign"]] == ["other/noise"] and not j["arrays"][0]["complete"]'
holds "$member (\"qlc\", 5))[\"state\"] == \"missing\" and $member (\"scm\", 1))[\"state\"] == \"missing\""
holds '"qlc drive 5 is missing, scm drive 1 is missing" in j["arrays"][0]["problem"] and j["arrays"][0]["problem"].endswith("degraded")'
# The current folder is read in addition to all block devices, where other arrays may be.
cd drives
"$QLCSHAPE" devices --json >out 2>err || [[ $? == 1 ]] || fail "devices without a name"
holds '["qlc0.img"] in [m["paths"] for a in j["arrays"] for m in a["members"]]'
cd ..
rm drives/out drives/err
expect 2 "$QLCSHAPE" devices none --json
holds 'j["error"]["code"] == "not_found"'
expect 0 "$QLCSHAPE" devices other
grep -q "no arrays" out || fail "an array in noise"

# One drive by two names is one; a copy is a second one.
ln -s ../drives/qlc0.img other/link
expect 0 "$QLCSHAPE" devices drives other
cp drives/qlc2.img other/copy
expect 1 "$QLCSHAPE" devices drives other --json
holds "$member (\"qlc\", 2))[\"paths\"] == [\"drives/qlc2.img\", \"other/copy\"]"
expect 2 "$QLCSHAPE" devices drives other --write-array found.toml
says "drives/qlc2.img and other/copy are the same member"
[[ ! -e found.toml ]] || fail "an array file all the same"

# Damaged: the first block, found by what the others say; all of it.
cp drives/qlc4.img spoiled
printf x | dd of=spoiled bs=1 seek=100 conv=notrunc status=none
rm other/copy
expect 0 "$QLCSHAPE" devices drives/qlc[0-35].img drives/scm* spoiled --json
holds "$member (\"qlc\", 4))[\"paths\"] == [\"spoiled\"]"
for unit in 0 1; do
    for slot in {0..3}; do
        printf x | dd of=spoiled bs=1 seek=$((unit * 512 * 1024 + slot * 131072 + 100)) conv=notrunc status=none
    done
done
expect 1 "$QLCSHAPE" devices drives/qlc[0-35].img drives/scm* spoiled --json
holds '[d["path"] for d in j["damaged"]] == ["spoiled"] and "checksum" in j["damaged"][0]["why"]'
rm spoiled
[[ $(sums) == "$before" ]] || fail "it has written to the drives"

cp drives/scm0.img spoiled
truncate -s 15M spoiled
expect 1 "$QLCSHAPE" devices drives/qlc* drives/scm1.img spoiled --json
holds "$member (\"scm\", 0))[\"state\"] == \"short\" and \"scm drive 0 is truncated: degraded, it opens without\" in j[\"arrays\"][0][\"problem\"]"
# Without its newest superblock, which is damaged, a drive is no older than the others.
cp drives/qlc4.img spoiled
python3 - <<'PYTHON'
import struct
with open("spoiled", "r+b") as drive:
    places = [u * 512 * 1024 + s * 131072 for u in (0, 1) for s in range(4)]
    def generation(at):
        drive.seek(at)
        magic, _, generation = struct.unpack("<8s72sQ", drive.read(88))
        return generation if magic == b"QLCSHAPE" else 0
    drive.seek(max(places, key=generation) + 100)
    drive.write(b"x")
PYTHON
expect 0 "$QLCSHAPE" devices drives/qlc[0-35].img drives/scm* spoiled --json
holds "$member (\"qlc\", 4))[\"paths\"] == [\"spoiled\"]"
rm spoiled

# In use: open, read without a trace, and not in the server's way.
cp drives/qlc1.img older.img
start_server
expect 0 "$QLCSHAPE" devices drives --json
holds 'j["arrays"][0]["state"] == "open"'
expect 0 "$QLCSHAPE" devices drives
grep -q "open: a process has it" out || fail "not said to be open"
kill_server
expect 0 "$QLCSHAPE" devices drives --json
holds 'j["arrays"][0]["state"] == "crashed"'
expect 0 "$QLCSHAPE" status array.toml
expect 0 "$QLCSHAPE" bench array.toml --rw randwrite --verify --verify-state stamps --size 4MiB

# A drive as it was before.
mv drives/qlc1.img away
cp older.img drives/qlc1.img
expect 1 "$QLCSHAPE" devices drives --json
holds "$member (\"qlc\", 1))[\"state\"] == \"older\" and \"opens without\" in j[\"arrays\"][0][\"problem\"]"
mv away drives/qlc1.img
rm older.img

# The array file again. What it says is what was said: the array opens, and has what it had.
expect 0 "$QLCSHAPE" devices drives --write-array found.toml
for key in 'name = "e2e"' 'data_strips = 4' 'strip = "32KiB"' 'band = "512KiB"' 'overprovision = 0.2' \
    'shards = 1' 'gc_threads = 1' 'path = "drives/qlc0.img"' 'size = "24MiB"'; do
    grep -qx "$key" found.toml || fail "no $key in $(cat found.toml)"
done
mv array.toml lost.toml
expect 2 "$QLCSHAPE" devices drives --write-array found.toml
says "found.toml: exists already"
mkdir "far \"away\""
expect 0 "$QLCSHAPE" devices drives --write-array "far \"away\"/found.toml" --json
holds 'j["arrays"][0]["complete"]'
grep -qx "path = \"$WORK/drives/scm1.img\"" far*/found.toml || fail "a path that is not absolute: $(cat far*/found.toml)"
for file in found.toml far*/found.toml; do
    expect 0 "$QLCSHAPE" bench "$file" --rw randwrite --verify --verify-state stamps --size 1MiB --json
    holds 'j["verified"]["mismatches"] == 0 and j["verified"]["before"]["blocks"] > 0'
    expect 0 "$QLCSHAPE" check "$file"
done
# With a member missing too.
mv drives/qlc3.img "far \"away\"/qlc\\3.img"
expect 1 "$QLCSHAPE" devices drives --write-array degraded.toml
grep -q '^# qlc drive 3 (device UUID .*) is missing' degraded.toml || fail "nothing of the missing drive"
expect 0 "$QLCSHAPE" bench degraded.toml --rw read --size 1MiB
# Names that TOML must quote; a second array is another one.
mv drives/* far*
cd far*
expect 0 "$QLCSHAPE" devices . --write-array quoted.toml
expect 0 "$QLCSHAPE" check quoted.toml
cd ..
array_file
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" devices . far* --json
holds 'sorted(len(a["members"]) for a in j["arrays"]) == [8, 8] and all(a["complete"] for a in j["arrays"])'
expect 2 "$QLCSHAPE" devices . far* --write-array both.toml
says "2 arrays are here"
expect 0 "$QLCSHAPE" devices . --write-array one.toml
expect 0 "$QLCSHAPE" status one.toml

# TOML is UTF-8; every other name can be written.
bytes=$'n\xffame'
mkdir names
cp qlc*.img scm*.img names
mv names/qlc0.img "names/$bytes"
mv names/qlc1.img $'names/#"\n\t\\\x7f\u0085\u202e'"'"
expect 2 "$QLCSHAPE" devices names --write-array names.toml
says 'names/n\xffame: its path is not UTF-8' 'symbolic link'
[[ ! -e names.toml ]] || fail "an array file all the same"
ln -s "$bytes" names/link # as it advises
others=(names/[!n]*)
expect 0 "$QLCSHAPE" devices names/link "${others[@]}" --write-array names.toml
expect 0 "$QLCSHAPE" check names.toml
# One that is not usable is named in a comment.
truncate -s 1M "names/$bytes"
expect 1 "$QLCSHAPE" devices names --write-array comment.toml
grep -qF 'is truncated: names/' comment.toml || fail "not named"
expect 0 "$QLCSHAPE" status comment.toml
rm -r names

# What may not be read is said; as an ordinary user not even that, on whose drives it is.
if [[ $(id -u) == 0 ]]; then
    chmod 755 "$WORK"
    chmod 600 qlc*.img scm*.img
    cp "$QLCSHAPE" command
    expect 2 setpriv --reuid=65534 --clear-groups ./command devices qlc0.img scm0.img
    grep -q "unreadable: qlc0.img: .*Permission denied" out || fail "not said to be unreadable"
fi
