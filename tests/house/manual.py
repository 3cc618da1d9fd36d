#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual has every verb and option of the command and every key of the array file, groff accepts
the pages, and completion offers each verb and option. Usage: manual.py ROOT BUILD
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from sources import finish

ROOT, BUILD = Path(sys.argv[1]), Path(sys.argv[2])


def help_of(*verb):
    return subprocess.run([BUILD / "qlcshape", *verb, "--help"], capture_output=True, text=True,
                          check=True).stdout.split("Each verb has")[0]


def verbs_in(text):
    part = text.partition("\nSubcommands:\n")[2]
    return re.findall(r"^  ([a-z]+)", part, re.MULTILINE)


def rendered(page):
    return subprocess.run(["man", "--warnings=w", "-l", page], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "MANWIDTH": "200", "LANG": "C"})


def volumes_complete():
    """What of an array's volumes and of an option's values is not offered."""
    offered = {}
    with tempfile.TemporaryDirectory(prefix="qlcshape-manual-") as folder:
        array = Path(folder) / "a.toml"
        array.write_text('[array]\ndata_strips = 2\nstrip = "64KiB"\nband = "512KiB"\n' + "".join(
            f'[[device]]\nrole = "{role}"\npath = "{role}{i}.img"\nsize = "24MiB"\n'
            for role, i in (*(("qlc", i) for i in range(4)), ("scm", 0), ("scm", 1))))
        for words in (("create", array), *(("volume", "create", array, name, "--size", "4MiB")
                                           for name in ("v0", "v1", "other"))):
            subprocess.run([BUILD / "qlcshape", *words], check=True, capture_output=True)
        a = str(array)
        for words in (("volume", "delete", a, "v"), ("volume", "resize", a, "v"),
                      ("serve", a, "--volume", "v"), ("bench", a, "--volume", "v")):
            offered[words] = {"v0", "v1"}, completed(*words)
    offered[("bench", "a.toml", "--rw", "rand")] = (
        {"randread", "randwrite", "randtrim", "randrw"}, completed("bench", "a.toml", "--rw", "rand"))
    offered[("sim", "--profile", "")] = (
        {"cuts", "away", "wide", "media", "drives", "older", "beyond", "all", "loop", "sequences"}, completed("sim", "--profile", ""))
    return [f"completion: {' '.join(map(str, words))}: {got}, not {sorted(wanted)}"
            for words, (wanted, got) in offered.items() if set(got) != wanted]


def completed(*words):
    """What completion offers for the last of the words."""
    script = (f'source "{ROOT}/tools/completion.bash"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); '
              '_qlcshape; echo "${COMPREPLY[@]}"')
    run = subprocess.run(["bash", "-c", script, "bash", str(BUILD / "qlcshape"), *words],
                         capture_output=True, text=True, check=True)
    return run.stdout.split()


def main():
    problems = []
    for page in sorted((ROOT / "man").iterdir()):
        problems += [f"{page}: {line}" for line in rendered(page).stderr.splitlines()]

    manual = rendered(ROOT / "man/qlcshape.1").stdout
    verbs = []
    for verb in verbs_in(help_of()):
        below = verbs_in(help_of(verb))
        verbs += [(verb, word) for word in below] if below else [(verb,)]
    for verb in verbs:
        name = " ".join(verb)
        if f"qlcshape {name}" not in manual:
            problems.append(f"man/qlcshape.1: nothing of the verb {name}")
        if verb[-1] not in completed(*verb[:-1], verb[-1][:-1]):
            problems.append(f"completion: nothing of the verb {name}")
        options = set(re.findall(r"--[a-z][a-z-]*", help_of(*verb)))
        for option in sorted(options):
            if not re.search(re.escape(option) + r"(?![a-z-])", manual):
                problems.append(f"man/qlcshape.1: nothing of {name} {option}")
        missing = options - set(completed(*verb, "a.toml", "--"))
        if missing:
            problems.append(f"completion: {name} without {sorted(missing)}")

    problems += volumes_complete()

    reader = (ROOT / "src/engine/array_file.cpp").read_text()
    array_page = rendered(ROOT / "man/qlcshape-array.5").stdout
    for keys in re.findall(r"only\(\{([^}]*)\}\)", reader):
        for key in re.findall(r'"(\w+)"', keys):
            if not re.search(rf"\b{key}\b", array_page):
                problems.append(f"man/qlcshape-array.5: nothing of the key {key}")
    finish(problems, f"{len(verbs)} verbs and their options")


if __name__ == "__main__":
    main()
