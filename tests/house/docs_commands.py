#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands in README.md and docs/*.md.

A ```sh block whose line before is <!-- run --> is run by `bash -e`; other blocks are only shown. The
blocks of one page run in order in one temporary folder, where build/release is the build under
test and where its programs are in PATH. A ``` block whose line before is <!-- output --> shows lines
of what the block before it printed, in order; figures and UUIDs may differ.
Usage: docs_commands.py ROOT BUILD
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from sources import finish

MARK = "<!-- run -->"
OUTPUT = "<!-- output -->"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FIGURE = re.compile(r"[0-9][0-9.]*( ([KMGT]iB|B|[kM]|n?s|us|ms|min|h)(/s)?)?(?![A-Za-z])")
LIMIT_SECONDS = 300


def marked_blocks(page, problems):
    """(line number, mark, text) of each block to run, and of each output."""
    lines = page.read_text().splitlines()
    blocks = []
    for number, line in enumerate(lines):
        mark = line.strip()
        if mark not in (MARK, OUTPUT):
            continue
        fence = "```sh" if mark == MARK else "```"
        if number + 1 >= len(lines) or lines[number + 1].strip() != fence:
            problems.append(f"{page}:{number + 1}: {mark} without a {fence} block right after it")
            continue
        rest = lines[number + 2:]
        end = next((i for i, text in enumerate(rest) if text.strip() == "```"), None)
        if end is None:
            problems.append(f"{page}:{number + 2}: the block has no end")
            continue
        blocks.append((number + 2, mark, "\n".join(rest[:end]) + "\n"))
    return blocks


def not_printed(shown, printed):
    """The first line shown that is not among the printed ones, in order; None: all are."""
    lines = iter([FIGURE.sub("#", UUID.sub("UUID", line)) for line in printed.splitlines()])
    for line in shown.splitlines():
        if FIGURE.sub("#", UUID.sub("UUID", line)) not in lines:
            return line
    return None


def run_block(text, folder, build):
    """What it printed, and what went wrong, or None."""
    path = os.pathsep.join([str(build), str(build / "bench"), str(build / "examples"),
                            os.environ["PATH"]])
    try:
        run = subprocess.run(["bash", "-e", "-c", text], cwd=folder, text=True,
                             env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return "", f"still running after {LIMIT_SECONDS} s"
    return run.stdout, None if run.returncode == 0 else f"exit {run.returncode}\n{run.stdout}"


def main():
    root, build = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    problems = []
    ran = 0
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        blocks = marked_blocks(page, problems) if page.exists() else []
        if page == root / "README.md" and not blocks:
            problems.append(f"{page}: no block marked {MARK}")
        with tempfile.TemporaryDirectory(prefix="qlcshape-docs-") as folder:
            (Path(folder) / "build").mkdir()
            (Path(folder) / "build" / "release").symlink_to(build)
            printed = ""
            for number, mark, text in blocks:
                if mark == OUTPUT:
                    line = not_printed(text, printed)
                    if line is not None:
                        problems.append(f"{page}:{number}: not printed: {line}\n{printed}")
                    continue
                print(f"{page}:{number}:\n{text}", end="", flush=True)
                ran += 1
                printed, why = run_block(text, folder, build)
                if why:
                    problems.append(f"{page}:{number}: {why}")
                    break  # later blocks of the page build on this one
    finish(problems, f"{ran} blocks")


if __name__ == "__main__":
    main()
