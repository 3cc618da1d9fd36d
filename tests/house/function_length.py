#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A function is at most one screen long, 60 lines. Usage: function_length.py ROOT

LONGER lists those that are not yet, with the most lines that they may have. The list only shrinks:
an entry whose function is short by now must go. Reads the layout that clang-format gives.
"""

import re
import sys
from pathlib import Path

from sources import finish, sources

LIMIT = 60
LONGER = {
    "tests/unit/band_table_test.cpp: band table: from free over open and closed and erasing to free": 61,
    "tests/unit/engine_volumes_test.cpp: engine stats: plausible in every field": 67,
    "tests/unit/space_gate_test.cpp: space gate: a standstill needs all of its signs": 68,
}

NOT_A_FUNCTION = re.compile(r"\s*(if|for|while|switch|else|do|try|case|namespace|class|struct|enum|union|extern)\b")


def functions(text):
    """(name, first line, lines) of each function, at namespace level or in a class."""
    begin = {0: None, 4: None}  # by indentation: the line that begins the declaration
    for number, line in enumerate(text.splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        if not line.strip() or indent not in begin:
            continue
        if line.strip() == "}":
            if begin[indent]:
                yield *begin[indent], number - begin[indent][1] + 1
            begin[indent] = None
        elif line.endswith((";", "};", ":")) or NOT_A_FUNCTION.match(line) or line.strip()[0] in "/#)}":
            if not line.strip().startswith(")"):
                begin[indent] = None
        elif begin[indent] is None and "(" in line:
            before = line.partition("(")[0]
            title = re.search(r'TEST_CASE\("([^"]*)"', line)
            begin[indent] = (title[1] if title else before.split()[-1] if before.split() else "?", number)


def main():
    root = Path(sys.argv[1])
    problems, longer, count = [], set(), 0
    for path in sources(root, ".h", ".cpp"):
        for name, line, lines in functions(path.read_text()):
            count += 1
            key = f"{path.relative_to(root)}: {name}"
            if lines > LIMIT:
                longer.add(key)
            if lines > LONGER.get(key, LIMIT):
                problems.append(f"{path}:{line}: {name} has {lines} lines, more than {LONGER.get(key, LIMIT)}")
    if (root / "tests/house/function_length.py").exists():  # not a small project of alarms.py
        problems += [f"LONGER: {key} is short enough, or gone" for key in LONGER if key not in longer]
    finish(problems, f"{count} functions")


if __name__ == "__main__":
    main()
