# SPDX-License-Identifier: Apache-2.0
# In the guest: volumes as ublk devices. $kills: how often the server is killed under the client.
mount -t tmpfs -o size=1g tmpfs /tmp
cd /tmp
array() { # array FOLDER NAME: array.toml of 4+2 QLC files and 2 SCM files
    mkdir $1
    {
        printf '[array]\nname = "%s"\ndata_strips = 4\nstrip = "32KiB"\nband = "512KiB"\n' $2
        printf '[engine]\nmetrics = "metrics"\n'
        for i in 0 1 2 3 4 5; do printf '[[device]]\nrole = "qlc"\npath = "qlc%d.img"\nsize = "160MiB"\n' $i; done
        for i in 0 1; do printf '[[device]]\nrole = "scm"\npath = "scm%d.img"\nsize = "16MiB"\n' $i; done
    } >$1/array.toml
    qlcshape create $1/array.toml >/dev/null 2>&1
}
fail() {
    echo "FAILED: $*"
    for file in err serve.err client; do [ ! -s $file ] || { echo "$file:"; tail -6 $file; }; done
    dmesg | tail -6
    exit 1
}
# serve [OPTION...]: starts a server, sets server and device; returns when I/O works.
serve() {
    rm -f dev
    qlcshape serve a/array.toml --ublk "$@" >dev 2>>serve.err &
    server=$!
    for try in $(seq 1200); do
        [ ! -s dev ] || { device=$(head -1 dev); return 0; }
        kill -0 $server 2>/dev/null || fail "no server"
        sleep 0.1
    done
    fail "no device after two minutes"
}
end_server() { # end_server SIGNAL CODE
    kill -$1 $server
    code=0
    wait $server || code=$?
    [ $code = $2 ] || fail "the server ended with $code"
}
refused() { # refused CODE WORDS COMMAND...
    wanted=$1 words=$2 code=0
    shift 2
    "$@" >out 2>err || code=$?
    [ $code = $wanted ] || fail "exit $code, not $wanted: $*"
    grep -q -e "$words" err || fail "no word of $words: $*"
}
state_of() { qlcshape ublk list | grep "$1 " | sed 's/^ *[^ ]* *//'; }
sysfs() { cat /sys/block/${device#/dev/}/$1; }

fill() { # fill FOLDER: a tree with checksums in it
    for d in 1 2 3; do
        mkdir -p $1/d$d
        for f in 1 2 3 4 5 6; do head -c $((d * f * 8199)) /dev/urandom >$1/d$d/f$f; done
    done
    head -c 4000000 /dev/urandom >$1/large
    rm -r $1/d2
    (cd $1 && find . -type f ! -name sums -exec sha256sum {} + >sums)
    sync
}
start_fill() { # start_fill FOLDER: in the background, and returns when it is under way
    fill $1 & filling=$!
    for try in $(seq 600); do
        [ ! -e $1/d1/f3 ] || return 0
        sleep 0.05
    done
    fail "nothing is written"
}
xfs_is_whole() {
    for folder in /mnt/*/; do
        (cd $folder && sha256sum -c sums >/dev/null) || fail "checksums in $folder"
    done
}

answers() { tail -1 client | grep -x '[0-9][0-9]*' || echo 0; }
start_client() { # start_client SEED
    : >client
    block_client $device 512 8 $1 >client 2>&1 &
    client=$!
    progress 100
}
progress() { # progress N: waits until the client got N more answers
    until=$(($(answers) + $1))
    for try in $(seq 3000); do
        [ $(answers) -lt $until ] || return 0
        kill -0 $client 2>/dev/null || fail "the client ended"
        sleep 0.1
    done
    fail "the client gets no answers"
}
end_client() {
    kill -TERM $client
    wait $client || fail "the client ended with $?"
    tail -1 client
}

array a served
qlcshape volume create a/array.toml disk --size 300MiB >/dev/null
qlcshape volume create a/array.toml v1 --size 64MiB >/dev/null

part() { echo "part $1, $(cut -d. -f1 /proc/uptime) s"; }
for part in $parts; do
    part $part
    . /$part.sh
done
