#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each mutant of tests/mutation still fits the sources: its original is there exactly once. And no
folder of src/ is without any. Usage: mutants.py ROOT [LEAST]
"""

import sys
from pathlib import Path

from sources import finish

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "mutation"))
from mutants import problems_of, read_list  # noqa: E402


def main():
    root = Path(sys.argv[1])
    least = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    mutants = read_list(root / "tests/mutation")
    problems = problems_of(mutants, root)
    if len(mutants) < least:
        problems.append(f"{len(mutants)} mutants, fewer than {least}")
    files = {m.file for m in mutants}
    for room in sorted(path for path in (root / "src").iterdir() if path.is_dir()):
        prefix = f"src/{room.name}/"
        if not any(file.startswith(prefix) for file in files):
            problems.append(f"{prefix}: no mutant is of there")
    finish(problems, f"{len(mutants)} mutants")


if __name__ == "__main__":
    main()
