#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes point one way, and only where CMake names a dependency.

A folder of src/ may include itself, the public headers and what its qs_folder(... DEPENDS ...) line
reaches; those lines may only name folders that the top CMakeLists.txt adds earlier. Public headers
include the standard library and each other. Examples see what users see.
Usage: include_direction.py ROOT
"""

import re
import sys
from pathlib import Path

from sources import finish, sources

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
STD_HEADER = re.compile(r"^[a-z_0-9]+$")
PROGRAMS = {
    "tools": {"tools", "bench", "sim"},
    "bench": {"bench"},
    "plugins": {"plugins"},
    "sim": {"sim"},
}


def allowed_folders(root, problems):
    """Folder -> the folders it may include, from CMake."""
    order = re.findall(r"add_subdirectory\(src/(\w+)\)", (root / "CMakeLists.txt").read_text())
    allowed = {}
    for folder in order:
        text = (root / "src" / folder / "CMakeLists.txt").read_text()
        line = re.search(r"qs_folder\((\w+)(?:\s+DEPENDS((?:\s+[a-z0-9_]+)+))?", text)
        allowed[folder] = {folder}
        for needed in (line.group(2) or "").split():
            if needed not in allowed or needed == folder:
                problems.append(f"src/{folder}/CMakeLists.txt: {needed} is not below {folder}")
            allowed[folder] |= allowed.get(needed, set())
    for path in sorted((root / "src").iterdir()):
        if path.is_dir() and path.name not in allowed:
            problems.append(f"src/{path.name}: not in the top CMakeLists.txt")
    return allowed


def fault(path, bracket, name, allowed):
    """Why the file at `path` (relative to the root) may not include `name`, or None."""
    top = path.parts[0]
    target = name.split("/")[0] if "/" in name else ""
    if target == "qlcshape":
        return None
    if top == "include":
        if bracket == "<" and STD_HEADER.match(name):
            return None
        return "public headers include only std and qlcshape/ headers"
    if top == "src":
        folder = path.parts[1]
        if target in allowed:
            return None if target in allowed[folder] else f"{folder} does not depend on {target}"
        return "name it as \"folder/file.h\", folder being one of src/" if bracket == '"' else None
    if top == "examples":
        return "examples use public headers only" if target in allowed else None
    if top in PROGRAMS and target in {"tests", "examples", *PROGRAMS}:
        return None if target in PROGRAMS[top] else f"{top} does not depend on {target}"
    return None


def main():
    root = Path(sys.argv[1])
    problems = []
    allowed = allowed_folders(root, problems)
    files = sources(root, ".h", ".cpp")
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = INCLUDE.match(line)
            if include:
                why = fault(path.relative_to(root), *include.groups(), allowed)
                if why:
                    problems.append(f"{path}:{number}: {include.group(2)}: {why}")
    finish(problems, f"the includes of {len(files)} files")


if __name__ == "__main__":
    main()
