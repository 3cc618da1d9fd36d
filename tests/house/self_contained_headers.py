#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone; public ones without our src/ in reach.

A header that is the first include of its own .cpp has been proved by the build and is left out,
which makes this quick. Usage: self_contained_headers.py ROOT COMPILER [FLAG...]
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sources import finish, sources


def proved_by_build(header, root):
    source = header.with_suffix(".cpp")
    if not source.exists():
        return False
    first = re.search(r'^\s*#\s*include\s*[<"]([^>"]+)', source.read_text(), re.MULTILINE)
    return bool(first) and first.group(1) == str(header.relative_to(root / "src"))


def compile_alone(header, root, command):
    places = ["include"] if root / "include" in header.parents else ["include", "src"]
    run = subprocess.run(
        [*command, *(f"-I{root / place}" for place in places),
         "-fsyntax-only", "-x", "c++", "-include", str(header), "/dev/null"],
        capture_output=True, text=True)
    return None if run.returncode == 0 else f"{header}: does not compile alone\n{run.stderr}"


def main():
    root = Path(sys.argv[1])
    headers = [h for h in sources(root, ".h")
               if h.relative_to(root).parts[0] == "include"
               or (h.relative_to(root).parts[0] == "src" and not proved_by_build(h, root))]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda h: compile_alone(h, root, sys.argv[2:]), headers)
    finish([r for r in results if r], f"{len(headers)} headers that no .cpp includes first")


if __name__ == "__main__":
    main()
