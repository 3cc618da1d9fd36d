#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The same bytes by two names, a file and a loop device over it: the array opens once.
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/nbd.bash"
[[ $(id -u) == 0 ]] || { echo "SKIPPED: only root may attach loop devices"; exit 77; }

loops=()
end_loops() {
    end_server
    for device in "${loops[@]}"; do losetup -d "$device" 2>/dev/null || true; done
}
trap end_loops EXIT
# attach FILE [OPTION...]: as a loop device, whose name is then in $device
attach() {
    device=$(losetup --find --show "${@:2}" "$1" 2>loop.err) && [[ -b $device ]] || {
        echo "SKIPPED: no loop device: $(cat loop.err)"
        exit 77
    }
    loops+=("$device")
}

array_file 24MiB
expect 0 "$QLCSHAPE" create array.toml
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 4MiB
cp array.toml looped.toml
for image in *.img; do
    attach "$image"
    sed -i "s|\"$image\"|\"$device\"|" looped.toml
done
first=${loops[0]}
last=${loops[-1]} # of scm1.img, by the order of names

# Opened by the files, then by the loop devices.
start_server
expect 2 "$QLCSHAPE" serve looped.toml --volume v0 --socket "$WORK/two.sock"
says "$first" qlc0.img "(nbdkit)"
expect 2 "$QLCSHAPE" check looped.toml
says "$first" qlc0.img "(nbdkit)"
# A command finds the server by either name.
expect 0 "$QLCSHAPE" status looped.toml --json
holds 'j["array"]["live"]'
expect 0 "$QLCSHAPE" volume resize looped.toml v0 --size 8MiB
# A loop device over the loop device.
attach "$first"
sed "s|\"$first\"|\"$device\"|" looped.toml >nested.toml
expect 2 "$QLCSHAPE" serve nested.toml --volume v0 --socket "$WORK/two.sock"
says "$device" qlc0.img
losetup -d "$device"
# Another loop device over the same file.
attach qlc0.img
sed "s|\"$first\"|\"$device\"|" looped.toml >again.toml
expect 2 "$QLCSHAPE" serve again.toml --volume v0 --socket "$WORK/two.sock"
says "$device" qlc0.img
stop_server

# The other way round.
mv array.toml files.toml
mv looped.toml array.toml
start_server
expect 2 "$QLCSHAPE" serve files.toml --volume v0 --socket "$WORK/two.sock"
says "$first" qlc0.img "(nbdkit)"
expect 2 "$QLCSHAPE" serve again.toml --volume v0 --socket "$WORK/two.sock"
says "$device" qlc0.img "(nbdkit)"
expect 0 "$QLCSHAPE" status files.toml --json
holds 'j["array"]["live"]'
stop_server

# One member by both names in one array file.
sed "s|\"scm0.img\"|\"$last\"|" files.toml >both.toml
expect 2 "$QLCSHAPE" serve both.toml --volume v0 --socket "$WORK/two.sock"
says scm1.img "$last"
expect 0 "$QLCSHAPE" check files.toml
