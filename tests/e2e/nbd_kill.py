# SPDX-License-Identifier: Apache-2.0
"""Loads a served volume, kills the server and compares: nbd_kill.py QLCSHAPE KILLS [SEED].

Runs in the array's folder. Each 4 KiB block holds its number and that of the write. Writes in flight
never overlap, so each block has one right answer, or two where a write was in flight at the kill;
all blocks of a write that is atomic must then agree. What was found then must stay.
"""

import ctypes
import faulthandler
import os
import random
import signal
import struct
import subprocess
import sys
import time

import nbd

BLOCK = 4096
PAGE_BLOCKS = 512  # an atomic write does not cross a multiple of 2 MiB
ATOMIC_BLOCKS = 16
DEPTH = 24
LIMIT_SECONDS = 60
SOCKET = os.path.abspath("nbd.sock")
QLC = [f"qlc{i}.img" for i in range(6)]


def content(block, stamp):
    return bytes(BLOCK) if stamp == 0 else struct.pack("<QQ", block, stamp) * (BLOCK // 16)


def limit():
    """Whatever it waits for, a phase that takes longer ends the script, which tells where it was."""
    faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Server:
    def __init__(self, command):
        self.errors = open("serve.err", "w+")  # a file: nobody reads it while the server runs
        self.process = subprocess.Popen([command, "serve", "array.toml", "--volume", "v0",
                                         "--socket", SOCKET], stdout=subprocess.PIPE, text=True,
                                        stderr=self.errors, preexec_fn=die_with_parent)

    def fail(self, what):
        self.errors.seek(0)
        raise SystemExit(f"{what}: {self.errors.read()}")

    def wait_ready(self):
        if not self.process.stdout.readline():
            self.fail("no server")

    def kill(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        while not (children := open(path).read().split()) and self.process.poll() is None:
            time.sleep(0.001)
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        self.process.wait()
        self.errors.close()

    def stop(self):
        self.process.terminate()
        if self.process.wait() != 0:
            self.fail("no clean stop")
        self.errors.close()


def connect():
    handle = nbd.NBD()
    handle.connect_uri("nbd+unix:///?socket=" + SOCKET)
    return handle


class Load:
    """What is known of the volume: the stamp of each block, and what is in flight."""

    def __init__(self, blocks):
        self.stamps = [0] * blocks
        self.in_flight = {}  # stamp of the write -> (first block, count, stamp of its contents)
        self.busy = set()
        self.last = self.acknowledged = 0

    def submit(self, handle):
        first = random.randrange(len(self.stamps))
        count = min(random.choice((1, 1, 1, 2, 8, 16, 64)), len(self.stamps) - first)
        blocks = range(first, first + count)
        if not self.busy.isdisjoint(blocks):
            return
        self.last += 1
        number = self.last
        kind = random.random()
        trims = kind < 0.15
        self.busy.update(blocks)
        self.in_flight[number] = (first, count, 0 if trims else number)

        def done(error):
            if error.value == 0:
                self.acknowledged += 1
                self.stamps[first:first + count] = [0 if trims else number] * count
                del self.in_flight[number]
                self.busy.difference_update(blocks)
            return 1

        if kind < 0.08:
            handle.aio_trim(count * BLOCK, first * BLOCK, completion=done)
        elif trims:
            handle.aio_zero(count * BLOCK, first * BLOCK, completion=done)
        else:
            data = b"".join(content(block, number) for block in blocks)
            handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), first * BLOCK,
                              completion=done, flags=nbd.CMD_FLAG_FUA if kind > 0.9 else 0)

    def run(self, server, seconds):
        handles = [connect(), connect()]
        end = time.monotonic() + seconds
        killed = False
        while handles:
            if not killed and time.monotonic() > end:
                server.kill()
                killed = True
            for handle in list(handles):
                try:
                    if not killed and handle.aio_in_flight() < DEPTH:
                        self.submit(handle)
                    if handle.aio_in_flight() >= DEPTH or killed:
                        handle.poll(1)
                    else:
                        handle.poll(0)
                    if handle.aio_is_dead() or handle.aio_is_closed():
                        handles.remove(handle)
                except nbd.Error:
                    handles.remove(handle)
            if killed and not any(h.aio_in_flight() for h in handles):
                break

    def verify(self):
        """Compares every block, and takes what was found of writes in flight for settled."""
        handle = connect()
        size = len(self.stamps) * BLOCK
        data = b"".join(handle.pread(min(1 << 20, size - at), at) for at in range(0, size, 1 << 20))
        handle.shutdown()
        found = {}
        for block, stamp in enumerate(self.stamps):
            if data[block * BLOCK:(block + 1) * BLOCK] != content(block, stamp):
                found[block] = data[block * BLOCK:(block + 1) * BLOCK]
        for first, count, stamp in self.in_flight.values():
            new = [b for b in range(first, first + count)
                   if found.get(b) == content(b, stamp) != content(b, self.stamps[b])]
            atomic = (stamp != 0 and count <= ATOMIC_BLOCKS
                      and first // PAGE_BLOCKS == (first + count - 1) // PAGE_BLOCKS)
            if atomic and len(new) not in (0, count):
                raise SystemExit(f"torn: write {stamp} of {count} blocks at {first}, new {new}")
            for block in new:
                self.stamps[block] = stamp
                del found[block]
        self.in_flight.clear()
        self.busy.clear()
        for block, held in found.items():
            raise SystemExit(f"{len(found)} blocks are wrong; block {block} must hold write "
                             f"{self.stamps[block]}, and begins with {struct.unpack('<QQ', held[:16])}")


def main():
    command, kills = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    random.seed(seed)
    limit()
    server = Server(command)
    server.wait_ready()
    handle = connect()
    load = Load(handle.get_size() // BLOCK)
    handle.shutdown()
    begun = time.monotonic()
    for cycle in range(kills):
        limit()
        if cycle % 10 == 0 and cycle != 0:
            print(f"{cycle} kills, {load.acknowledged} acknowledged", flush=True)
        load.run(server, random.uniform(0.05, 0.8))
        for _ in range(random.choice((0, 0, 1, 2))):  # killed while it opens
            server = Server(command)
            time.sleep(random.uniform(0, 0.1))
            server.kill()
        if cycle % 3 == 2:
            away = random.sample(QLC, 2)
            for path in away:
                os.rename(path, path + ".away")
            server = Server(command)
            server.wait_ready()
            load.verify()
            server.stop()
            for path in away:
                os.rename(path + ".away", path)
        server = Server(command)
        server.wait_ready()
        load.verify()
    limit()
    server.stop()
    print(f"{kills} kills in {time.monotonic() - begun:.0f} s, {load.acknowledged} acknowledged writes "
          "and trims, nothing lost")


if __name__ == "__main__":
    main()
