#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mutation test: are the tests able to see that one line is wrong?

run.py [--work FOLDER] [--jobs N] [--only NUMBER...] [--tests PATTERN] [--seeds N]

Makes one build with all mutants of the lists here in it, each asleep, and runs each test of the
suite in it once: which mutants does it come by, and how long does it take? (That is kept in
FOLDER/look.json for as long as the build stays the same.) Then each mutant is woken in turn and run
against the tests that come by it, to the first that fails, dies or takes ten times as long: all
mutants against the quick tests, first those that are named after the mutant's file, and those that
are left against the others. Prints each mutant's fate and the score, and writes them to
FOLDER/mutants.json. Tests that fail without any mutant are named and left out. Exit 1 if fewer than
95% were caught.
"""

import argparse
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants import HERE, applied, problems_of, read_list

ROOT = HERE.parent.parent
WANTED = 0.95
# Tests of the whole that take long, need more than a build, or measure something.
LEFT_OUT = re.compile(r"^(house|fuzz|canary)/|^sim/sim: new seeds|^e2e/(vm_|demo|kill_loop|kv_|nbd_kill|memory_bench|nbd_fio)")
PROFILES = ("cuts", "away", "wide", "media", "drives", "older", "beyond", "all")
TARGETS = ("unit_tests", "sim_tests", "stress_tests", "qlcshape", "nbdkit_qlcshape")
LEAST_LIMIT_S = 30
ROUNDS_S = ((0, 5), (5, 60), (60, math.inf))  # tests by how long they take


def prepare(mutants, tree):
    """Copies the sources with the mutants in them; what is the same already is not touched."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "-co", "--exclude-standard"],
                            check=True, capture_output=True, text=True).stdout.split("\0")
    names = {name for name in listed if name and (ROOT / name).is_file()}
    files = {m.file for m in mutants}
    for path in list(tree.rglob("*")):  # what is there no more would still be compiled
        if path.is_file() and str(path.relative_to(tree)) not in names:
            path.unlink()
    for name in sorted(names):
        text = (ROOT / name).read_bytes()
        if name in files:
            text = applied(mutants, name, text.decode()).encode()
        put(tree / name, text)
        shutil.copymode(ROOT / name, tree / name)


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != text:
        path.write_bytes(text)


def build(tree, folder, jobs):
    flags = f"-w -include {HERE / 'awake.h'}"
    subprocess.run(["cmake", "-S", tree, "-B", folder, "-G", "Ninja",
                    "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1",
                    f"-DCMAKE_CXX_FLAGS={flags}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", *TARGETS, "--", f"-j{jobs}"], check=True)


class Test:
    alone = threading.Lock()  # programs of whole arrays may want the same port

    def __init__(self, name, command, folder, environment):
        self.name, self.command, self.folder, self.environment = name, command, folder, environment
        self.seconds, self.reached = 0.0, set()

    def run(self, mutant, limit, reached=None):
        """Whether it passed."""
        environment = dict(os.environ, **self.environment, QLCSHAPE_MUTANT=str(mutant))
        if reached:
            environment["QLCSHAPE_MUTANTS_REACHED"] = str(reached)
        if self.name.startswith("e2e/"):
            with Test.alone:
                return run_in_time(self.command, self.folder, environment, limit)
        return run_in_time(self.command, self.folder, environment, limit)

    def limit(self):
        return max(LEAST_LIMIT_S, 10 * self.seconds)


def run_in_time(command, folder, environment, limit):
    child = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             start_new_session=True)
    try:
        return child.wait(limit) in (0, 77)
    except subprocess.TimeoutExpired:
        return False
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)  # with whatever it started
        except ProcessLookupError:
            pass
        child.wait()


def tests_of(folder, seeds):
    listed = json.loads(subprocess.run(["ctest", "--test-dir", folder, "--show-only=json-v1"],
                                       check=True, capture_output=True, text=True).stdout)
    tests = []
    for test in listed["tests"]:
        if LEFT_OUT.search(test["name"]) or "command" not in test:
            continue
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
        tests.append(Test(test["name"], test["command"], properties["WORKING_DIRECTORY"], environment))
    step = 5  # so that one that fails early ends early
    for first in range(1, seeds, step):
        for profile in PROFILES:
            tests.append(Test(f"campaign/{profile} {first}",
                              [f"{folder}/qlcshape", "sim", "--profile", profile,
                               "--seeds", f"{first}..{first + step - 1}"], folder, {}))
    return tests


def look_at_all(tests, built, work, jobs):
    """What each test comes by, and how long it takes; returns those that fail without a mutant."""
    scratch = work / "reached"
    scratch.mkdir(parents=True, exist_ok=True)
    file = work / "look.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    known = known.get("tests", {}) if known.get("built") == built else {}
    for test in tests:
        if test.name in known:
            test.seconds, test.reached = known[test.name][0], set(known[test.name][1])
    unknown = [t for t in tests if t.name not in known]
    with ThreadPoolExecutor(jobs) as pool:
        bad = [t for t, passed in zip(unknown, pool.map(lambda t: look(t, scratch), unknown)) if not passed]
    # On a busy machine a test may fail that says nothing then; two failures are one too many.
    bad = [t for t in bad if not look(t, scratch)]
    known |= {t.name: (t.seconds, sorted(t.reached)) for t in tests if t not in bad}
    file.write_text(json.dumps({"built": built, "tests": known}))
    return bad


def look(test, scratch):
    reached = scratch / re.sub(r"\W", "_", test.name)[:150]
    reached.unlink(missing_ok=True)
    began = time.monotonic()
    passed = test.run(0, 1800, reached)
    test.seconds = time.monotonic() - began
    if reached.exists():
        test.reached = {int(line) for line in reached.read_text().split()}
    return passed


def is_named_after(test, mutant):
    words = re.split(r"\W+", Path(mutant.file).stem.replace("_", " ").lower())
    return all(word in test.name.lower() for word in words)


def fails(test, mutant):
    """Twice: on a busy machine a test of whole programs may fail that says nothing then."""
    return not any(test.run(mutant.number, test.limit()) for _ in range(2))


def hunt(mutant, tests, fate):
    """Notes the first of the tests that catches it."""
    began = time.monotonic()
    tests = sorted(tests, key=lambda t: not is_named_after(t, mutant))
    for test in tests:
        if mutant.number in test.reached and fails(test, mutant):
            fate["caught_by"] = test.name
            break
    fate["seconds"] += round(time.monotonic() - began, 1)
    if fate["caught_by"]:
        print(f"caught {mutant} [{fate['caught_by']}, {fate['seconds']:.0f} s]", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build/mutation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", type=int, nargs="+", help="mutants' numbers")
    parser.add_argument("--tests", type=re.compile, default="", help="those whose name matches")
    parser.add_argument("--seeds", type=int, default=200, help="of the simulator, a profile")
    a = parser.parse_args()
    mutants = read_list()
    problems = problems_of(mutants, ROOT)
    if problems:
        sys.exit("\n".join(problems))
    folder = a.work.resolve() / "build"
    prepare(mutants, a.work.resolve() / "tree")
    build(a.work.resolve() / "tree", folder, a.jobs)

    tests = [t for t in tests_of(folder, a.seeds) if re.search(a.tests, t.name)]
    built = [p.stat().st_mtime for p in sorted(folder.rglob("*_tests")) + [folder / "qlcshape"] if p.is_file()]
    bad = look_at_all(tests, built, a.work.resolve(), a.jobs)
    for test in bad:
        print(f"fails without any mutant, and is left out: {test.name}", flush=True)
        tests.remove(test)
    print(f"{len(tests)} tests, {sum(t.seconds for t in tests):.0f} s", flush=True)

    chosen = [m for m in mutants if not a.only or m.number in a.only]
    fates = {m.number: {"mutant": str(m), "caught_by": None, "seconds": 0.0} for m in chosen}
    for least, most in ROUNDS_S:
        round_tests = sorted((t for t in tests if least <= t.seconds < most), key=lambda t: t.seconds)
        left = [m for m in chosen if not fates[m.number]["caught_by"]]
        print(f"{len(left)} mutants against {len(round_tests)} tests", flush=True)
        with ThreadPoolExecutor(a.jobs) as pool:
            list(pool.map(lambda m: hunt(m, round_tests, fates[m.number]), left))
    (a.work / "mutants.json").write_text(json.dumps(fates, indent=1, sort_keys=True))
    caught = sum(1 for fate in fates.values() if fate["caught_by"])
    print(f"mutation score: {caught} of {len(chosen)}, {100 * caught / len(chosen):.1f}%")
    for mutant in chosen:
        if not fates[mutant.number]["caught_by"]:
            print(f"survived: {mutant}")
    sys.exit(0 if caught >= WANTED * len(chosen) else 1)


if __name__ == "__main__":
    main()
