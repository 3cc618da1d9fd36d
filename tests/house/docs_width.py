#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lines of the docs are at most 100 characters wide, but for tables and code. Usage: docs_width.py ROOT"""

import sys
from pathlib import Path

from sources import finish

LIMIT = 100


def wide_lines(page):
    code = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        code ^= line.lstrip().startswith("```")
        if len(line) > LIMIT and not code and not line.startswith("|") and " " in line.strip():
            yield f"{page}:{number}: {len(line)} characters, more than {LIMIT}"


def main():
    root = Path(sys.argv[1])
    pages = [*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md"))]
    finish([line for page in pages for line in wide_lines(page)], f"{len(pages)} pages")


if __name__ == "__main__":
    main()
