#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What can't be done is refused, with the place and the cause, and changes nothing.
source "$(dirname "$0")/lib.bash"

expect 2 "$QLCSHAPE"
expect 0 "$QLCSHAPE" --help
for verb in demo create volume "volume create" "volume list" "volume resize" "volume delete" status check bench; do
    # shellcheck disable=SC2086
    expect 0 "$QLCSHAPE" $verb --help
done
expect 2 "$QLCSHAPE" polish array.toml
says "polish: no such verb" "--help"
expect 2 "$QLCSHAPE" staus array.toml
says "staus: no such verb, did you mean status?"
expect 2 "$QLCSHAPE" volume delte array.toml v0
says "volume delte: no such verb, did you mean volume delete?"
expect 0 "$QLCSHAPE" --version
version=$(sed -n 's/.*VERSION_STRING "\(.*\)"/\1/p' "$ROOT/include/qlcshape/version.h")
[[ $(cat out) == "qlcshape $version" ]] || fail "another version: $(cat out)"
expect 2 "$QLCSHAPE" sim --seeds 0..0 --profile sequences
says "sequences 1 to 584"
expect 2 "$QLCSHAPE" create
expect 2 "$QLCSHAPE" create none.toml
says none.toml
expect 2 "$QLCSHAPE" status none.toml --json
holds 'j["error"]["code"] == "not_found" and "none.toml" in j["error"]["message"]'

# The array file.
array_file
sed 's/^band =/bnad =/' array.toml >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "bad.toml:5" '"bnad"' "known are"
sed 's/"32KiB"/"32KB"/' array.toml >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "bad.toml:4" "strip" '"32KB"'
echo "[array" >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "bad.toml:1"
sed 's/data_strips = 4/data_strips = 5/' array.toml >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "6 qlc devices" "give 7 to 120"
sed 's/data_strips = 4/data_strips = 4\nspare_drives = 1/' array.toml >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "spare_drives is 1" "6 qlc devices" "at most 0"
sed 's/"24MiB"/"4MiB"/' array.toml >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "at least"
sed 's/"qlc3.img"/"memory:three"/' array.toml >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "memory:three" "end with the process" "bench --memory"
sed 's/"qlc3.img"/"ql\\u0000c3.img"/' array.toml >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "bad.toml:" path NUL
{ printf '[engine]\ncores = [4000000000]\n\n' && cat array.toml; } >bad.toml
expect 2 "$QLCSHAPE" create bad.toml
says "core 4000000000" "this machine has"
[[ $(ls) == $(printf 'array.toml\nbad.toml\nerr\nout') ]] || fail "a refused create left files: $(ls)"

# Devices. Permissions don't hold root back.
if setpriv --reuid 65533 true 2>/dev/null; then
    expect 0 "$QLCSHAPE" create array.toml
    cp "$QLCSHAPE" qlcshape # where it is may not be for other users
    chmod 755 "$WORK"
    chmod 600 qlc*.img scm*.img
    for verb in status check bench "volume list"; do
        # shellcheck disable=SC2086
        expect 2 setpriv --reuid 65533 --regid 65533 --clear-groups ./qlcshape $verb array.toml
        says qlc0.img "Permission denied"
    done
    rm qlcshape qlc*.img scm*.img
fi
expect 2 "$QLCSHAPE" status array.toml
says "created?"
expect 0 "$QLCSHAPE" create array.toml
expect 2 "$QLCSHAPE" create array.toml
says qlc0.img --force
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 8MiB
expect 2 "$QLCSHAPE" volume create array.toml v0 --size 8MiB
says v0
expect 2 "$QLCSHAPE" volume create array.toml v1 --size 8MB
says --size
expect 2 "$QLCSHAPE" volume create array.toml v1 --size 1000
expect 2 "$QLCSHAPE" volume create array.toml v1 --size 1TiB
expect 2 "$QLCSHAPE" volume create array.toml "" --size 8MiB
expect 2 "$QLCSHAPE" volume create array.toml .. --size 8MiB
says "'..'"
expect 2 "$QLCSHAPE" volume resize array.toml v0
expect 2 "$QLCSHAPE" volume resize array.toml none --size 8MiB
says none
expect 2 "$QLCSHAPE" volume resize array.toml v0 --size 0
expect 2 "$QLCSHAPE" volume resize array.toml v0 --size 1TiB
says "1 TiB requested; only" "unallocated" "at most"
expect 2 "$QLCSHAPE" volume create array.toml v1 --size 99999999999999TiB
says "too large" "8388608 TiB"
expect 2 "$QLCSHAPE" bench array.toml --volume v9
says v9
for option in "--rw scribble" "--bs 100" "--bs 0" "--iodepth 0" "--iodepth 5000" "--size big" \
    "--random-distribution normal" "--runtime -1" "--rw trim --bs 512 --verify" "--seed x"; do
    # shellcheck disable=SC2086
    expect 2 "$QLCSHAPE" bench array.toml $option
    [[ -s err ]] || fail "no message for $option"
done

# A running array is nobody else's, but status looks in.
"$QLCSHAPE" bench array.toml --runtime 20 >/dev/null 2>&1 &
bench=$!
sleep 1
expect 2 "$QLCSHAPE" bench array.toml
expect 2 "$QLCSHAPE" create array.toml --force
expect 2 "$QLCSHAPE" check array.toml
expect 0 "$QLCSHAPE" status array.toml --json
kill -INT $bench
wait $bench

# Two QLC drives may be missing; a third may not, nor all that tell of the array.
mkdir away
mv qlc0.img qlc5.img away/
expect 0 "$QLCSHAPE" status array.toml --json
holds 'sorted(d["state"] for d in j["devices"]) == ["missing"] * 2 + ["online"] * 6'
expect 0 "$QLCSHAPE" bench array.toml --rw randread --size 1m
expect 0 "$QLCSHAPE" bench array.toml --rw randwrite --size 1m
mv qlc1.img away/
expect 2 "$QLCSHAPE" bench array.toml --rw randread --size 1m
says missing
mv away/* .
mv scm0.img scm1.img away/
expect 2 "$QLCSHAPE" bench array.toml --rw randread --size 1m
says scm
mv away/* .
expect 0 "$QLCSHAPE" check array.toml

# A drive of another array.
mkdir other
(cd other && sed 's/e2e/other/' ../array.toml >array.toml && "$QLCSHAPE" create array.toml >/dev/null)
mv qlc2.img away/
cp --sparse=always other/qlc2.img .
expect 2 "$QLCSHAPE" bench array.toml --rw randread --size 1m
says qlc2.img
mv away/qlc2.img .

# Damage in bands is found, named, and repaired in what is read.
expect 0 "$QLCSHAPE" bench array.toml --rw write --size 8m
expect 0 "$QLCSHAPE" check array.toml
# All of one drive's bands, since which of them hold the volume is chance; its superblocks stay.
dd if=/dev/urandom of=qlc3.img bs=1M seek=1 count=23 conv=notrunc status=none
expect 1 "$QLCSHAPE" check array.toml --json
holds 'j["problems_found"] > 0 and any("qlc3.img" in p for p in j["problems"])'
expect 0 "$QLCSHAPE" bench array.toml --rw read --size 8m --json
holds 'j["errors"]["reconstructed"] > 0 and j["errors"]["unreadable"] == 0'

# A superblock that is no more.
dd if=/dev/urandom of=qlc3.img bs=1M count=1 conv=notrunc status=none
code=0
"$QLCSHAPE" bench array.toml --rw randwrite --size 1m >out 2>err || code=$?
[[ $code != 0 ]] || fail "it opened for writing with a ruined superblock"
says qlc3.img

expect 0 "$QLCSHAPE" create array.toml --force
expect 0 "$QLCSHAPE" volume list array.toml --json
holds 'j["volumes"] == []'
