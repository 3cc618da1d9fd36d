#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The hard rooms have comments on at least 12% of their lines, and no line of C++ is wider than 100
characters: clang-format leaves comments as they are. Usage: comments.py ROOT

Counted are lines that hold nothing but a comment, of those that are not blank.
"""

import sys
from pathlib import Path

from sources import finish, sources

LEAST_PERCENT = 12
MOST_WIDTH = 100
ROOMS = ("engine", "gc", "journal", "meta", "recovery", "segment", "shard")


def percent(folder):
    lines = [line.strip() for path in folder.rglob("*") if path.suffix in (".h", ".cpp")
             for line in path.read_text().splitlines() if line.strip()]
    return 100 * sum(line.startswith("//") for line in lines) / len(lines) if lines else 100


def main():
    root = Path(sys.argv[1])
    problems = []
    for room in ROOMS:
        share = percent(root / "src" / room)
        if share < LEAST_PERCENT:
            problems.append(f"src/{room}: {share:.1f}% of its lines are comments, less than {LEAST_PERCENT}%: "
                            "say why, what must come before what, and what breaks otherwise")
    files = sources(root, ".h", ".cpp")
    for path in files:
        problems += [f"{path}:{number}: {len(line)} characters, more than {MOST_WIDTH}"
                     for number, line in enumerate(path.read_text().splitlines(), 1) if len(line) > MOST_WIDTH]
    finish(problems, f"{len(ROOMS)} rooms, {len(files)} files")


if __name__ == "__main__":
    main()
