#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy finds nothing in src/ with the checks of .clang-tidy. Usage: tidy.py ROOT

The sources of a folder are looked at in one go, which takes a fifth of the time; where they can't be
compiled together, one by one.
"""

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sources import finish

PROGRAM = "clang-tidy-19"
ROOT = Path(sys.argv[1]).resolve()


def findings(name, files, scratch):
    """What clang-tidy says of these files, compiled as one."""
    together = Path(scratch) / f"{name}.cpp"
    together.write_text("".join(f'#include "{file}"\n' for file in files))
    run = subprocess.run(
        [PROGRAM, "--quiet", f"--config-file={ROOT}/.clang-tidy",
         f"--header-filter=^{ROOT}/(src|include)/", together, "--", "-std=c++23", "-Wthread-safety",
         f"-I{ROOT}/include", f"-I{ROOT}/src"], capture_output=True, text=True)
    return run.stdout if run.returncode else ""


def folder_findings(folder, scratch):
    files = sorted(folder.glob("*.cpp"))
    found = findings(folder.name, files, scratch)
    if "clang-diagnostic-error" not in found:
        return [found] if found else []
    alone = [findings(f"{folder.name}-{file.stem}", [file], scratch) for file in files]
    return [text for text in alone if text]


def main():
    if not shutil.which(PROGRAM):
        finish([f"{PROGRAM} is missing: scripts/install_packages.sh installs it"], "the tools")
    folders = sorted({file.parent for file in (ROOT / "src").rglob("*.cpp")})
    with tempfile.TemporaryDirectory(prefix="qlcshape-tidy-") as scratch, \
            ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda folder: folder_findings(folder, scratch), folders)
        finish([text for texts in found for text in texts], f"{len(folders)} folders")


if __name__ == "__main__":
    main()
