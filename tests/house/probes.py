#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every probe in the source is in docs/operations.md and the other way round, the bpftrace script uses
no other, and the command has all of them or (without sys/sdt.h) none. Usage: probes.py ROOT BUILD
"""

import re
import subprocess
import sys
from pathlib import Path

from sources import finish, sources

ROOT, BUILD = Path(sys.argv[1]), Path(sys.argv[2])


def main():
    problems = []
    code = "".join(p.read_text() for p in sources(ROOT / "src", ".h", ".cpp"))
    probes = set(re.findall(r"QS_PROBE\((\w+)", code))
    page = (ROOT / "docs/operations.md").read_text().partition("## Probes")[2]
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    if documented != probes:
        problems.append(f"docs/operations.md: differs in {sorted(documented ^ probes)}")
    unknown = set(re.findall(r"qlcshape:(\w+)", (ROOT / "tools/trace.bt").read_text())) - probes
    if unknown:
        problems.append(f"tools/trace.bt: there is no probe {sorted(unknown)}")
    notes = subprocess.run(["readelf", "--notes", BUILD / "qlcshape"], capture_output=True,
                           text=True, check=True).stdout
    built = set(re.findall(r"Provider: qlcshape\s+Name: (\w+)", notes))
    if built and built != probes:
        problems.append(f"the command: differs in {sorted(built ^ probes)}")
    finish(problems, f"{len(probes)} probes")


if __name__ == "__main__":
    main()
