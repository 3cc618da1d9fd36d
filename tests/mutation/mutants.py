# SPDX-License-Identifier: Apache-2.0
"""The list of mutants: src/ and the programs with one thing wrong each.

A list is a text file of entries like this one:

    @ src/journal/tps_scan.cpp
    - sequence <= acked
    + sequence < acked
    # acknowledged records are lost without a word where both mirrors are damaged

The text after "-" occurs exactly once in the file. It is an expression, or ends with ";" and is a
statement; then the text after "+" is one, too, or nothing. A text of several lines has several
lines of "-".
"""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEFORE_STATEMENT = re.compile(r"([;{})]|else|[^:]:)$")
HALF = re.compile(
    r"^\s*(\|\||&&|[?:,])|(\|\||&&|[-+,?:=<>])\s*$|^\s*$|;\s*$|^(if|for|while|return)\b")
DECLARATION = re.compile(
    r"(?!return|delete)(const\s+)?[\w:<>]+[&*]?\s+[&*]?\w+\s*[={;]")


class Mutant:
    def __init__(self, number, file):
        self.number, self.file = number, file
        self.good, self.bad, self.harm = [], [], []

    def finish(self):
        self.good, self.bad = "\n".join(self.good), "\n".join(self.bad)
        self.harm = " ".join(self.harm)
        return self

    def choice(self):
        """What stands in the file in place of the original."""
        awake = f"::qlcshape_mutant({self.number})"
        if self.good.endswith(";"):
            return f"{{ if ({awake}) {{ {self.bad} }} else {{ {self.good} }} }}"
        return f"({awake} ? ({self.bad}) : ({self.good}))"

    def __str__(self):
        return f"{self.number}: {self.file}: {self.good!r} becomes {self.bad!r}: {self.harm}"


def read_list(folder=HERE):
    mutants, last = [], ""
    for path in sorted(Path(folder).glob("*.txt")):
        for line in path.read_text().splitlines():
            mark, text = line[:1], line[2:]
            if mark == "@":
                file = text.strip()
            elif mark == "-":
                if last != "-":
                    mutants.append(Mutant(len(mutants) + 1, file))
                mutants[-1].good.append(text)
            elif mark == "+":
                mutants[-1].bad.append(text)
            elif mark == "#":
                mutants[-1].harm.append(text)
            elif line.strip():
                raise SystemExit(f"{path.name}: not an entry's line: {line}")
            last = mark
    return [mutant.finish() for mutant in mutants]


def problems_of(mutants, root):
    """What is wrong with the list, as lines of text."""
    problems, texts = [], {}
    for m in mutants:
        path = Path(root) / m.file
        if m.file not in texts:
            texts[m.file] = path.read_text() if path.exists() else ""
        count = texts[m.file].count(m.good) if m.good else 0
        if count != 1:
            problems.append(f"mutant {m}: the original is there {count} times, not once")
        if m.good == m.bad or not m.harm:
            problems.append(f"mutant {m}: it changes nothing, or does not say what it harms")
        if any(text.count("(") != text.count(")") for text in (m.good, m.bad)):
            problems.append(f"mutant {m}: a part of an expression, by its parentheses")
        before = texts[m.file].partition(m.good)[0].rstrip()
        starts = BEFORE_STATEMENT.search(before) or "//" in before.rpartition("\n")[2]
        if m.good.endswith(";") and not starts:
            problems.append(f"mutant {m}: it ends with ';', and begins within a statement")
        if not m.good.endswith(";") and any(HALF.search(text) for text in (m.good, m.bad)):
            problems.append(f"mutant {m}: no expression, by how it begins or ends")
        if m.good.endswith(";") and DECLARATION.match(m.good):
            problems.append(f"mutant {m}: what it declares would be unknown after it")
        if m.good.endswith(";") and m.bad and not m.bad.endswith((";", "}")):
            problems.append(f"mutant {m}: a statement becomes none")
    for file in sorted(texts):
        ends = -1
        for at, m in sorted(((texts[file].find(m.good), m) for m in mutants if m.file == file), key=lambda x: x[0]):
            if at < ends:
                problems.append(f"mutant {m}: overlaps with another one")
            ends = at + len(m.good)
    return problems


def applied(mutants, file, text):
    """The text of a file with all its mutants in it."""
    for m in mutants:
        if m.file == file:
            text = text.replace(m.good, m.choice(), 1)
    return text
