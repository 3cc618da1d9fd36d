# SPDX-License-Identifier: Apache-2.0
# fio verifies what it wrote to two volumes at once, with more requests in flight than a queue has slots.
serve
fio --eta=never --output=fio.out --direct=1 --ioengine=libaio --verify=crc32c --verify_fatal=1 --iodepth=300 --size=6m \
    --name=a --filename=$device --rw=randwrite --bs=4k --name=b --filename=$(tail -1 dev) --rw=randrw \
    --bsrange=4k-64k || fail "fio: $(cat fio.out)"
end_server TERM 0
