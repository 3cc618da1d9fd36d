#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every file of ours that can hold a comment names its license in line 1, or in line 2 after #!.
Usage: license.py ROOT
"""

import sys
from pathlib import Path

from sources import finish

LINE = "SPDX-License-Identifier: Apache-2.0"
TOP = (".clang-format", ".clang-tidy", ".editorconfig", ".gitignore", "CMakeLists.txt")
NO_COMMENT = (".md", ".json", ".txt")  # and the fuzzers' inputs


def files_of(root):
    found = [root / name for name in TOP if (root / name).exists()]
    for top in sorted(root.iterdir()):
        if top.is_dir() and (top.name in (".ci", ".github") or not top.name.startswith((".", "build"))):
            found += [path for path in sorted(top.rglob("*"))
                      if path.is_file() and not {"corpus", "__pycache__"} & set(path.parts)
                      and (path.name == "CMakeLists.txt" or path.suffix not in NO_COMMENT)]
    return found


def licensed(path):
    lines = path.read_text().splitlines()[:2]
    if lines and not lines[0].startswith("#!"):
        lines = lines[:1]
    return any(LINE in line for line in lines)


def main():
    files = files_of(Path(sys.argv[1]))
    finish([f"{path}: no line \"{LINE}\" at its top" for path in files if not licensed(path)],
           f"{len(files)} files")


if __name__ == "__main__":
    main()
