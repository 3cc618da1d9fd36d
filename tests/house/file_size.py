#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No source file is longer than 500 lines. Usage: file_size.py ROOT"""

import sys

from sources import finish, sources

LIMIT = 500


def main():
    files = sources(sys.argv[1], ".h", ".cpp", ".c", ".py", ".sh", ".cmake")
    sizes = [(path, len(path.read_text().splitlines())) for path in files]
    finish([f"{path}: {lines} lines; over {LIMIT} it is time for a second file"
            for path, lines in sizes if lines > LIMIT], f"{len(files)} files")


if __name__ == "__main__":
    main()
