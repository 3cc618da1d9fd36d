#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Names may hold anything. No control character of one gets to the terminal, or into a log.
source "$(dirname "$0")/lib.bash"

# calm: neither output of the last command has one, but line breaks; nor bytes that are not UTF-8,
# which some terminals take for control characters.
calm() {
    python3 - out err <<'PYTHON' || fail "a control character"
import sys, unicodedata
for name in sys.argv[1:]:
    text = open(name, "rb").read().decode()
    assert not [c for c in text if c != "\n" and unicodedata.category(c) == "Cc"], (name, text)
PYTHON
}

nasty=$'a\e[2J\r\x7f\xc2\x9b\x9bb'
array_file
sed -i 's/"qlc0.img"/"a\\u001b[2J\\r\\u007f\\u009bb.img"/; s/"scm1.img"/"s\\nFAILED: c.img"/' array.toml

expect 2 "$QLCSHAPE" status array.toml
calm
says '\x1b[2J' '\x0d' '\xc2\x9b'
expect 0 "$QLCSHAPE" create array.toml
calm
expect 2 "$QLCSHAPE" create array.toml
calm
says '\x1b[2J'
expect 0 "$QLCSHAPE" volume create array.toml v0 --size 4MiB
for verb in status check "volume list" "devices" "status --prometheus" "status --json" "check --json"; do
    read -r -a words <<<"$verb"
    if [[ $verb == devices ]]; then
        expect 0 "$QLCSHAPE" devices .
    else
        expect 0 "$QLCSHAPE" "${words[@]}" array.toml
    fi
    calm
done
expect 0 "$QLCSHAPE" status array.toml
! grep -q '^FAILED' out || fail "a name began a line"
grep -qF '\x0aFAILED: c.img' out || fail "no such drive"
# A drive that is away.
mv s*c.img away
expect 0 "$QLCSHAPE" status array.toml
calm
! grep -q '^FAILED: c.img' out || fail "a name began a line"
mv scm0.img away0
expect 2 "$QLCSHAPE" serve array.toml --socket s.sock
calm
grep -qF '\x0aFAILED: c.img' err || fail "no such drive"
mv away0 scm0.img
mv away $'s\nFAILED: c.img'

for words in "status|$nasty" "create|$nasty" "$nasty" "status|array.toml|$nasty" "status|array.toml|--$nasty" \
    "volume|create|array.toml|$nasty|--size|4MiB" "volume|create|array.toml|v1|--size|$nasty" \
    "volume|delete|array.toml|$nasty|--yes" "volume|$nasty|array.toml" "devices|$nasty" \
    "serve|array.toml|--volume|$nasty|--socket|s.sock" "serve|array.toml|--socket|none/$nasty" \
    "bench|array.toml|--volume|$nasty|--rw|randwrite" "bench|array.toml|--rw|$nasty" \
    "bench|array.toml|--rw|randwrite|--verify|--verify-state|none/$nasty" \
    "devices|.|--write-array|none/$nasty"; do
    IFS='|' read -r -d '' -a list <<<"$words" || true
    list[-1]=${list[-1]%$'\n'}
    expect 2 "$QLCSHAPE" "${list[@]}"
    calm
    [[ -s err ]] || fail "no message"
done
printf '[array]\nname = "\\u001b[2J"\n' >named.toml
expect 2 "$QLCSHAPE" create named.toml
calm
printf '"\\u001b[2J" = 1\n' >key.toml
expect 2 "$QLCSHAPE" status key.toml
calm

# The plugin, in nbdkit and towards its clients.
PLUGIN=$BUILD/nbdkit-qlcshape-plugin.so
[[ -e $PLUGIN ]] || exit 0
expect 1 nbdkit -f -U "$WORK/s.sock" "$PLUGIN" array=array.toml "volume=$nasty"
calm
expect 1 nbdkit -f -U "$WORK/s.sock" "$PLUGIN" "array=$nasty"
calm
