#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All C++ is as clang-format leaves it. Usage: format.py ROOT

To repair: clang-format -i FILE
"""

import shutil
import subprocess
import sys

from sources import finish, sources


def main():
    files = sources(sys.argv[1], ".h", ".cpp")
    if not shutil.which("clang-format"):
        finish(["clang-format is missing: scripts/install_packages.sh installs it"], "the tools")
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file", *map(str, files)],
                         capture_output=True, text=True)
    bad = sorted({line.split(":")[0] for line in run.stderr.splitlines() if ": error:" in line})
    if run.returncode and not bad:
        bad = [run.stderr]
    finish([f"{path}: not formatted; clang-format -i repairs it" for path in bad],
           f"{len(files)} files")


if __name__ == "__main__":
    main()
