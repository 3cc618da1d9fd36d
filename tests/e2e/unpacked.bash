# SPDX-License-Identifier: Apache-2.0
# unpacked PACKAGE: the folder of a Debian package that was downloaded and unpacked, not installed; kept
# in the user's cache.
unpacked() {
    local cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/qlcshape-tests part
    if [[ ! -e $cache/$1 ]]; then
        mkdir -p "$cache"
        part=$(mktemp -d "$cache/part-XXXXXX")
        if ! { (cd "$part" && timeout 120 apt-get -q download "$1") && dpkg -x "$part"/*.deb "$part/root"; } >&2; then
            rm -rf "$part"
            return 1
        fi
        mv -T "$part/root" "$cache/$1" 2>/dev/null || [[ -e $cache/$1 ]] # another test was quicker
        rm -rf "$part"
    fi
    echo "$cache/$1"
}
