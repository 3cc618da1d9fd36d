#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The key-value example killed in the middle, again and again: every key holds what was acknowledged
# last, or what was under way. QLCSHAPE_KV_KILLS: how often (10).
source "$(dirname "$0")/lib.bash"
source "$(dirname "$0")/kv.bash"
kv_array

cat >drill.py <<'PYTHON'
"""drill.py load SEED: sets and deletes until the server is gone; drill.py verify: compares.

Each worker has keys of its own and one pipeline in flight. The file `state` says of each key what
was acknowledged last and what is under way since: after a kill the key may hold any of these.
"""
import json, os, random, socket, sys, threading

WORKERS, KEYS, PIPELINE = 8, 150, 8
SIZES = [0, 3, 40, 300, 1024, 1025, 3000, 5000, 20000, 70000]

class Gone(Exception):
    pass

class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect("kv.sock")
        self.file = self.socket.makefile("rb")

    def send(self, commands):
        out = b"".join(b"*%d\r\n" % len(c) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in c) for c in commands)
        try:
            self.socket.sendall(out)
        except (BrokenPipeError, ConnectionResetError):
            raise Gone

    def reply(self):
        try:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise Gone
            if line[:1] == b"$":
                size = int(line[1:])
                if size < 0:
                    return None
                data = self.file.read(size + 2)
                if len(data) < size + 2:
                    raise Gone
                return data[:-2]
            if line[:1] == b"-":
                sys.exit("answered %r" % line)
            return line[:-2]
        except ConnectionResetError:
            raise Gone

def content(key, stamp, size):
    """Tells a value from every other one, by its first and its last bytes."""
    if stamp is None:
        return None
    mark = b"%s=%d;" % (key.encode(), stamp)
    return (mark * (size // len(mark) + 1))[:max(size, len(mark))]

def read_state():
    if not os.path.exists("state"):
        return {"stamp": 0, "keys": {}}
    with open("state") as file:
        return json.load(file)

def work(worker, seed, state):
    chance = random.Random(seed * 1000 + worker)
    client = Client()
    stamp = state["stamp"] + 1 + worker
    while True:
        batch = []
        for _ in range(PIPELINE):
            key = f"w{worker}:{chance.randrange(KEYS)}"
            entry = state["keys"].setdefault(key, {"known": [None, 0], "under_way": []})
            stamp += WORKERS
            new = [None, 0] if chance.random() < 0.2 else [stamp, chance.choice(SIZES)]
            entry["under_way"].append(new)
            batch.append((key, entry, new))
        try:
            client.send([(b"DEL", k.encode()) if new[0] is None else (b"SET", k.encode(), content(k, *new))
                         for k, entry, new in batch])
            for key, entry, new in batch:
                client.reply()
                entry["known"] = new
                entry["under_way"].remove(new)
        except Gone:
            return

def load(seed):
    state = read_state()
    workers = [threading.Thread(target=work, args=(i, seed, state)) for i in range(WORKERS)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    state["stamp"] += 10**9
    with open("state", "w") as file:
        json.dump(state, file)

def verify():
    state = read_state()
    client = Client()
    wrong = keys = 0
    for key, entry in state["keys"].items():
        client.send([(b"GET", key.encode())])
        got = client.reply()
        allowed = [entry["known"]] + entry["under_way"]
        held = [one for one in allowed if content(key, *one) == got]
        if not held:
            wrong += 1
            print(f"{key}: holds {got and got[:40]!r}, acknowledged {entry['known']}, under way {entry['under_way']}")
        else:
            entry["known"], entry["under_way"] = held[0], []
        keys += held != [] and held[0][0] is not None
    client.send([(b"DBSIZE",)])
    size = int(client.reply()[1:])
    if not wrong and size != keys:
        sys.exit(f"DBSIZE {size}, but there are {keys} keys")
    with open("state", "w") as file:
        json.dump(state, file)
    print(f"{len(state['keys'])} keys, {keys} of them there, {wrong} wrong")
    sys.exit(1 if wrong else 0)

load(int(sys.argv[2])) if sys.argv[1] == "load" else verify()
PYTHON

for cycle in $(seq "${QLCSHAPE_KV_KILLS:-10}"); do
    kv_start
    [[ $cycle == 1 ]] || expect 0 python3 drill.py verify
    python3 drill.py load "$RANDOM" >load.out 2>&1 &
    load=$!
    sleep "0.$((RANDOM % 9))$((RANDOM % 9 + 1))"
    kv_kill
    wait $load || { cp load.out err; fail "the load"; }
    [[ $((cycle % 5)) != 0 ]] || expect 0 "$QLCSHAPE" check array.toml
done
kv_start
expect 0 python3 drill.py verify
cat out
kv_stop
expect 0 "$QLCSHAPE" check array.toml
