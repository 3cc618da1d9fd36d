#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the docs say of counts, limits, defaults, tests and code is what the sources say.
Usage: facts.py ROOT [BUILD]; with a build, also that the tests named in docs/evidence.md exist.

- "27 canaries", "31 persistence points", "10 fuzzers", "list has 239 mutants" in any page.
- Rows `| what | 1024 | `engine.h: kMaxRequests` |` of any page: the constant has that value.
- Keys of the array file in docs/command.md: all are there, with the defaults of Options.
- Each canary is in docs/faults.md and has a test.
- Rows `| `shard.txt` | 43 | 40 |` of docs/hacking.md: each list of mutants has one, with its number of mutants,
  and no more of them are caught.
- ```cpp blocks of docs/library.md are in examples/tour.cpp.
- Links lead to pages and headings that exist.
- Wordings that readers stumble over are in no page, no manual and no message.
"""

import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

from sources import finish, sources

ROOT = Path(sys.argv[1])
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "us": 1, "ms": 1000, "s": 1000000}


def text(path):
    return (ROOT / path).read_text() if (ROOT / path).exists() else ""


def pages():
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def enum_names(path, enum):
    body = re.search(rf"enum class {enum}[^{{]*{{(.*?)}};", text(path), re.DOTALL)[1]
    return re.findall(r"^\s*(\w+),", body, re.MULTILINE)


def value(expression):
    """Of a constant in C++ or a size in the docs; None where it is neither."""
    expression = re.sub(r"(?<=\d)'(?=\d)", "", expression.strip())
    size = re.fullmatch(r"([\d.]+) ?([A-Za-z]*)", expression)
    if size and size[2] in UNITS:
        return float(size[1]) * UNITS[size[2]]
    expression = re.sub(r"std::\w+\{(\d+)\}", r"\1", expression)
    expression = re.sub(r"\b([KMGT]iB)\b", lambda m: str(UNITS[m[1]]), expression)
    return float(eval(expression)) if re.fullmatch(r"[\d.\s*+<()-]+", expression) else None


def counts():
    mutants = sum(line.startswith("@ ") for path in (ROOT / "tests/mutation").glob("*.txt")
                  for line in path.read_text().splitlines())
    facts = [
        (r"(\d+)\s+(?:canaries|injected\s+one-line\s+bugs)", len(enum_names("src/base/canary.h", "Canary")) - 2),
        (r"(\d+)\s+persistence\s+points", len(enum_names("src/device/transfer.h", "PersistencePoint")) - 2),
        (r"(\d+)\s+fuzzers", len(list((ROOT / "tests/fuzz").glob("*.cpp")))),
        (r"list\s+has\s+(\d+)", mutants),
    ]
    for pattern, right in facts:
        found = 0
        for page in pages():
            for said in re.findall(pattern, page.read_text()):
                found += 1
                if int(said) != right:
                    yield f"{page}: says {said} for \"{pattern}\", and it is {right}"
        if not found:
            yield f"docs: \"{pattern}\" is nowhere"


def limits():
    constants = {}
    for path in sources(ROOT, ".h", ".cpp"):
        for name, expression in re.findall(r"constexpr [^=;]*?\b(k[A-Z]\w*) = ([^;]*);", path.read_text()):
            number, unit = value(expression), re.search(r"(Ms|Seconds)$", name)
            if number is not None and unit:
                number *= {"Ms": 1000, "Seconds": 1000000}[unit[1]]
            constants.setdefault(f"{path.name}: {name}", number)
    rows = [(page, *row) for page in pages() for row in
            re.findall(r"^\| [^|]* \| ([^|]*) \| `(\w+\.\w+: k\w+)` \|$", page.read_text(), re.MULTILINE)]
    if not rows:
        yield "docs: no limits with their constants"
    for page, said, name in rows:
        if constants.get(name) is None:
            yield f"{page}: there is no {name}"
        elif value(said) != constants[name]:
            yield f"{page}: says {said} for {name}, and it is {constants[name]}"


def keys():
    reader = text("src/engine/array_file.cpp")
    known = {key for found in re.findall(r"only\(\s*\{([^}]*)\}\)", reader) for key in re.findall(r'"(\w+)"', found)}
    known -= {"array", "engine", "device"}
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| ([^|]*) \|$",
                           text("docs/command.md").partition("## The array file")[2].partition("\n## ")[0], re.MULTILINE))
    if known != set(rows):
        yield f"docs/command.md: keys of the array file: differs in {sorted(known ^ set(rows))}"
    options = text("include/qlcshape/options.h").partition("struct Options")[2]
    for key, member in re.findall(r'read\w*\("(\w+)",\s*options\.(\w+)', reader):
        default = re.search(rf"\b{member}\s*=\s*([^;]*);", options)
        number = value(default[1]) if default else None
        if number and member.endswith("_ms"):
            number *= UNITS["ms"]
        if number and value(rows.get(key, "").strip("`\" ")) != number:
            yield f"docs/command.md: default of {key}: {rows.get(key)}, and it is {default[1]}"


def canaries():
    for name in enum_names("src/base/canary.h", "Canary"):
        if name in ("none", "count"):
            continue
        if f"`{name}`" not in text("docs/faults.md"):
            yield f"docs/faults.md: nothing of the canary {name}"
        if f'"canary: {name}"' not in text("tests/canary/canary_test.cpp"):
            yield f"tests/canary/canary_test.cpp: nothing wakes {name}"


def squeezed(code):
    return re.sub(r"\s+", " ", code)


def scores():
    for path in sorted((ROOT / "tests/mutation").glob("*.txt")):
        there = sum(line.startswith("@ ") for line in path.read_text().splitlines())
        row = re.search(rf"^\| `{path.name}` \| (\d+) \| (\d+) \|", text("docs/hacking.md"), re.MULTILINE)
        if not row:
            yield f"docs/hacking.md: no row for the mutants of {path.name}"
        elif int(row[1]) != there or int(row[2]) > there:
            yield f"docs/hacking.md: {row[2]} of {row[1]} mutants of {path.name} are caught, and there are {there}"


def examples():
    tour = squeezed(text("examples/tour.cpp"))
    for block in re.findall(r"```cpp\n(.*?)```", text("docs/library.md"), re.DOTALL):
        if squeezed(block).strip() not in tour:
            yield f"docs/library.md: not in examples/tour.cpp:\n{block}"


def anchors(page):
    """As GitHub makes them of headings."""
    code = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", code, re.MULTILINE)}


def links():
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            to = (page.parent / path).resolve() if path else page
            if not to.exists():
                yield f"{page}: leads to {target}, which is not there"
            elif anchor and to.suffix == ".md" and anchor not in anchors(to):
                yield f"{page}: leads to {target}, which has no such heading"


WORDS = {  # wording: what to write
    r"for reading alone": "read-only",
    r"closed in order": "closed cleanly",
    r"\bbeside\b": "next to, in addition to, alongside",
    r"\btells? of\b": "reports, names",
    r"\banew\b": "again",
    r"\b(?:by and by|at the most)\b": "gradually; at most",
    r"\bbehind the end\b": "past the end",
    r"\bthe judge\b|\bwould ring\b": "check; would fail",
    r"\bthere is none of\b": "there is no",
}


def words():
    literal = re.compile(r'"(?:[^"\\\n]|\\.)*"')
    texts = [(path, path.read_text()) for path in [*pages(), *sorted((ROOT / "man").glob("*"))]]
    texts += [(path, " ".join(literal.findall(path.read_text())))
              for folder in ("src", "tools", "plugins", "examples") for path in sorted((ROOT / folder).rglob("*.cpp"))]
    for path, written in texts:
        for wording, better in WORDS.items():
            for found in re.findall(wording, written):
                yield f"{path}: \"{found}\": write {better}"


def tests(build):
    run = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True)
    names = [test["name"] for test in json.loads(run.stdout)["tests"]]
    names += [f"canary/{title}" for title in re.findall(r'TEST_CASE\("([^"]*)"', text("tests/canary/canary_test.cpp"))]
    names += [f"fuzz/{path.stem}" for path in (ROOT / "tests/fuzz").glob("*.cpp")]
    for said in re.findall(r"`((?:unit|sim|stress|e2e|house|fuzz|canary)/[^`]*)`", text("docs/evidence.md")):
        if not fnmatch.filter(names, said):
            yield f"docs/evidence.md: there is no test {said}"


def main():
    checks = [counts(), limits(), keys(), canaries(), scores(), examples(), links(), words()]
    if len(sys.argv) > 2:
        checks.append(tests(sys.argv[2]))
    finish([problem for check in checks for problem in check], f"{len(pages())} pages")


if __name__ == "__main__":
    main()
