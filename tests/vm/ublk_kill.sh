# SPDX-License-Identifier: Apache-2.0
# The server is killed under a client: at any moment, and each second time where the engine has carried
# requests out and the kernel has not heard of it. The client sees a pause.
serve --volume disk
first=$device
start_client 1
for round in $(seq $kills); do
    progress $((100 + round * 37 % 100))
    if [ $((round % 2)) = 0 ]; then
        # The queue's thread dies as it enters the kernel with its answers.
        queue=$(grep -l qs-ublk /proc/$server/task/*/comm | head -$((1 + round / 2 % 2)) | tail -1)
        queue=${queue%/comm}
        strace -o /dev/null -p ${queue##*/} -e trace=io_uring_enter \
            -e inject=io_uring_enter:signal=SIGKILL:when=$((3 + round)) 2>/dev/null &
        for try in $(seq 600); do
            kill -0 $server 2>/dev/null || break
            sleep 0.1
        done
    fi
    kill -KILL $server 2>/dev/null || true
    wait $server 2>/dev/null || true
    serve --volume disk
    [ $device = $first ] || fail "$device, and it was $first"
done
progress 100
end_client
# The client notices what it must: somebody else writes.
start_client 2
dd if=/dev/zero of=$device bs=64k count=16 oflag=direct 2>/dev/null
kill -TERM $client
! wait $client || fail "the client did not notice"
end_server TERM 0
[ ! -e $first ] || fail "$first is still there"
qlcshape check a/array.toml >/dev/null 2>err || fail "check"
echo "ublk: $kills kills"
