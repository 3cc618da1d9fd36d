# SPDX-License-Identifier: Apache-2.0
"""The files that the house rules apply to."""

from pathlib import Path


def sources(root, *suffixes):
    """All files of ours with one of these suffixes, as sorted paths; build trees left out."""
    found = []
    for top in sorted(Path(root).iterdir()):
        if top.is_dir() and not top.name.startswith((".", "build")):
            found += [path for path in top.rglob("*") if path.suffix in suffixes]
    return sorted(found)


def finish(problems, checked):
    """Prints the problems, one a line, and ends the script."""
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems in {checked}")
    raise SystemExit(1 if problems else 0)
