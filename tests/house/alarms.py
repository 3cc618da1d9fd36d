#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests the house checks: each must accept a small project that is right, and reject the same project
with one thing wrong. Usage: alarms.py COMPILER [FLAG...]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILER = sys.argv[1:]

GOOD = {
    ".clang-tidy": "Checks: '-*,bugprone-sizeof-*'\nWarningsAsErrors: '*'\n",
    ".clang-format": "BasedOnStyle: Google\nSortIncludes: Never\nIncludeBlocks: Preserve\n",
    "CMakeLists.txt": "".join(f"add_subdirectory(src/{f})\n" for f in ("base", "left", "right")),
    "README.md": "<!-- run -->\n```sh\ntrue\n```\n```sh\nfalse\n```\n",
    "include/qlcshape/api.h": "#include <string>\n#include <qlcshape/part.h>\nstd::string name();\n",
    "include/qlcshape/part.h": "struct Part {};\n",
    "src/base/CMakeLists.txt": "qs_folder(base LIBRARIES fmt::fmt)\n",
    "src/base/a.h": "#include <cstdint>\ninline std::uint8_t a() { return 1; }\n",
    "src/left/CMakeLists.txt": "qs_folder(left DEPENDS base)\n",
    "src/left/l.h": '#include "base/a.h"\n#include "qlcshape/api.h"\ninline int l() { return a(); }\n',
    "src/left/l.cpp": '#include "left/l.h"\n\n#include <vector>\n',
    "src/left/more.cpp": "static int twice;\n",
    "src/right/CMakeLists.txt": "qs_folder(right DEPENDS base LIBRARIES fmt::fmt)\n",
    "src/right/r.h": '#include "base/a.h"\n',
    "tools/main.cpp": '#include "bench/b.h"\n#include "left/l.h"\n',
    "bench/b.h": '#include "right/r.h"\n',
    "examples/hello.cpp": "#include <qlcshape/api.h>\n",
    "tests/mutation/all.txt": "@ src/base/a.h\n- return 1;\n+ return 2;\n# wrong\n@ src/left/l.h\n- a()\n+ 0\n# wrong\n"
                              "@ src/right/r.h\n- base/a.h\n+ left/l.h\n# wrong\n",
}

# What facts.py compares; only it sees these.
FACTS = {
    "src/base/canary.h": "enum class Canary : char {\n    none,\n    one,  // a bug\n    count,\n};\n",
    "src/device/transfer.h": "enum class PersistencePoint : char {\n    none,\n    a,\n    b,\n    count,\n};\n",
    "src/engine/array_file.cpp": 'only({"shards", "path"}) read("shards", options.shards) read("path", device.path)',
    "include/qlcshape/options.h": "struct Options {\n    int shards = 4;\n};\n",
    "src/shard/limits.h": "constexpr long kDepth = 2 * KiB;\nconstexpr int kGraceMs = 5000;\n",
    "tests/canary/canary_test.cpp": 'TEST_CASE("canary: one") {}\n',
    "tests/fuzz/a.cpp": "",
    "examples/tour.cpp": "int tour() {\n    return 0;\n}\n",
    "docs/limits.md": "| depth | 2 KiB | `limits.h: kDepth` |\n| grace | 5 s | `limits.h: kGraceMs` |\n",
    "docs/command.md": "## The array file\n| `shards` | threads | 4 |\n| `path` | where | required |\n",
    "docs/faults.md": "# Canaries\n1 canaries, 2 persistence points, 1 fuzzers; the list has 3. `one`\n",
    "docs/hacking.md": "| `all.txt` | 3 | 2 |\n",
    "docs/library.md": "```cpp\nreturn 0;\n```\n[faults](faults.md#canaries)\n",
}

# Each file names its license, but for those that can't hold a comment.
for file in GOOD:
    mark = "//" if file.endswith((".h", ".cpp")) else "#"
    if not file.endswith((".md", "all.txt")):
        GOOD[file] = f"{mark} SPDX-License-Identifier: Apache-2.0\n{GOOD[file]}"

RUN_ECHO = "<!-- run -->\n```sh\necho took 12 us\n```\n<!-- output -->\n```\n"

# check, file, its broken text, words of the message
BREAKS = [
    ("include_direction", "src/base/a.h", '#include "left/l.h"\n', "base does not depend on left"),
    ("include_direction", "src/left/l.h", '#  include <right/r.h>\n', "left does not depend on right"),
    ("include_direction", "src/left/l.h", '#include "l2.h"\n', "name it as"),
    ("include_direction", "src/left/l.h", '#include "tools/t.h"\n', "name it as"),
    ("include_direction", "src/base/CMakeLists.txt", "qs_folder(base DEPENDS left)\n", "left is not below base"),
    ("include_direction", "src/odd/o.h", "", "src/odd: not in the top CMakeLists.txt"),
    ("include_direction", "include/qlcshape/api.h", '#include "base/a.h"\n', "public headers include only"),
    ("include_direction", "include/qlcshape/api.h", "#include <fmt/format.h>\n", "public headers include only"),
    ("include_direction", "bench/b.h", '#include "tools/t.h"\n', "bench does not depend on tools"),
    ("include_direction", "examples/hello.cpp", '#include "base/a.h"\n', "examples use public headers only"),
    ("self_contained_headers", "src/base/a.h", "inline std::string a;\n", "src/base/a.h: does not compile alone"),
    ("self_contained_headers", "include/qlcshape/api.h", '#include "base/a.h"\n', "api.h: does not compile alone"),
    ("self_contained_headers", "src/left/l.cpp", '#include <vector>\n#include "left/l.h"\n', None),
    ("self_contained_headers", "src/left/l.h", "std::vector<int> l();\n", None),
    ("format", "src/base/a.h", "int   a ;\n", "src/base/a.h: not formatted"),
    ("comments", "src/gc/a.h", "// why\n" * 3 + "int a;\n\n" * 22, None),
    ("comments", "src/gc/a.h", "// why\n" * 3 + "int a;  // why\n" * 23, "src/gc: 11.5% of its lines"),
    ("comments", "src/base/a.h", "// " + "w" * 97 + "\n", None),
    ("comments", "src/base/a.h", "// " + "w" * 98 + "\n", "a.h:1: 101 characters"),
    ("file_size", "src/base/a.h", "\n" * 501, "src/base/a.h: 501 lines"),
    ("license", "src/base/a.h", "int a();\n", "src/base/a.h: no line"),
    ("license", "src/base/a.h", "int a();\n// SPDX-License-Identifier: Apache-2.0\n", "src/base/a.h: no line"),
    ("license", "tests/e2e/a.sh", "#!/bin/sh\n# a test\n", "a.sh: no line"),
    ("license", "tests/e2e/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n", None),
    ("license", ".ci/run", "#!/bin/sh\ntrue\n", ".ci/run: no line"),
    ("license", "CMakeLists.txt", "add_subdirectory(src/base)\n", "CMakeLists.txt: no line"),
    ("tidy", "src/left/l.cpp", '#include "left/l.h"\nint s = sizeof(sizeof(int));\n', "bugprone-sizeof-expression"),
    ("tidy", "src/left/l.h", "inline int s = sizeof(sizeof(int));\n", "bugprone-sizeof-expression"),
    ("tidy", "src/left/l.cpp", "static int twice;\n", None),
    ("tidy", "src/left/l.cpp", "twice;\n", "error"),
    ("mutants", "src/base/a.h", "inline int a() { return 3; }\n", "the original is there 0 times"),
    ("mutants", "src/base/a.h", "inline int a() { return 1; return 1; }\n", "the original is there 2 times"),
    ("mutants", "src/other/o.h", "", "src/other/: no mutant is of there"),
    ("mutants", "tests/mutation/more.txt", "@ src/base/a.h\n- inline\n+ inline\n# none\n", "changes nothing"),
    ("mutants", "tests/mutation/more.txt", "@ src/base/a.h\n- { return 1\n+ { return 2\n# two\n", "overlaps"),
    ("mutants", "tests/mutation/more.txt", "@ src/base/a.h\n- inline\n+ static\n", "does not say what it harms"),
    ("function_length", "src/left/l.cpp", "int f(\n    int a) {\n" + "    a;\n" * 57 + "}\n", None),
    ("function_length", "src/left/l.cpp", "int f(\n    int a) {\n" + "    a;\n" * 58 + "}\n", "l.cpp:1: f has 61 lines"),
    ("function_length", "src/left/l.h", "struct S {\n    int f() {\n" + "        a;\n" * 59 + "    }\n};\n",
     "l.h:2: f has 61 lines"),
    ("docs_width", "README.md", "word " * 20 + "\n", None),
    ("docs_width", "docs/a.md", "word " * 20 + "w\n", "a.md:1: 101 characters"),
    ("docs_width", "docs/a.md", "| " + "word " * 30 + "|\n```\n" + "word " * 30 + "\n```\n", None),
    ("facts", "src/base/canary.h", "enum class Canary {\n    none,\n    count,\n};\n", 'says 1 for'),
    ("facts", "tests/canary/canary_test.cpp", "", "nothing wakes one"),
    ("facts", "docs/faults.md", "# Canaries\n1 canaries, 2 persistence points, 1 fuzzers; the list has 3.\n", "nothing of the canary one"),
    ("facts", "docs/faults.md", "# Canaries\n1 canaries, 3 persistence points, 1 fuzzers; the list has 3. `one`\n", "says 3 for"),
    ("facts", "docs/faults.md", "# Canaries\n1 canaries, 2 persistence points; the list has 3. `one`\n", "is nowhere"),
    ("facts", "docs/hacking.md", "| `all.txt` | 2 | 2 |\n", "2 of 2 mutants of all.txt are caught, and there are 3"),
    ("facts", "docs/hacking.md", "| `all.txt` | 3 | 4 |\n", "4 of 3 mutants"),
    ("facts", "docs/hacking.md", "the list has 3\n", "no row for the mutants of all.txt"),
    ("facts", "src/shard/limits.h", "constexpr long kDepth = 4 * KiB;\nconstexpr int kGraceMs = 5000;\n", "says 2 KiB for limits.h: kDepth"),
    ("facts", "src/shard/limits.h", "constexpr long kDepth = 2 * KiB;\n", "there is no limits.h: kGraceMs"),
    ("facts", "include/qlcshape/options.h", "struct Options {\n    int shards = 5;\n};\n", "default of shards"),
    ("facts", "docs/command.md", "## The array file\n| `shards` | threads | 4 |\n", "differs in ['path']"),
    ("facts", "examples/tour.cpp", "int tour() {\n    return 1;\n}\n", "not in examples/tour.cpp"),
    ("facts", "docs/more.md", "[gone](gone.md)\n", "leads to gone.md"),
    ("facts", "docs/more.md", "It was closed in order.\n", "write closed cleanly"),
    ("facts", "src/left/l.cpp", 'const char* text = "opened for reading alone";\n', "write read-only"),
    ("facts", "src/left/l.cpp", "// opened for reading alone\n", None),
    ("facts", "docs/more.md", "[gone](faults.md#gone)\n", "has no such heading"),
    ("docs_commands", "README.md", "nothing\n", "no block marked"),
    ("docs_commands", "README.md", "<!-- run -->\n```sh\nfalse\ntrue\n```\n", "README.md:2: exit 1"),
    ("docs_commands", "README.md", "<!-- run -->\n\n```sh\ntrue\n```\n", "without a ```sh block"),
    ("docs_commands", "docs/page.md", "<!-- run -->\n```sh\nexit 3\n```\n", "page.md:2: exit 3"),
    ("docs_commands", "docs/page.md", RUN_ECHO + "took 3.5 ms\n```\n", None),
    ("docs_commands", "docs/page.md", RUN_ECHO + "took 3.5 ms.\n```\n", "page.md:6: not printed: took 3.5 ms."),
]
EXTRA_ARGUMENTS = {"self_contained_headers": COMPILER, "docs_commands": ["/nonexistent"]}


def check(name, changed):
    files = {**GOOD, **(FACTS if name == "facts" else {}), **changed}
    with tempfile.TemporaryDirectory(prefix="qlcshape-house-") as root:
        for path, text in files.items():
            (Path(root) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(root) / path).write_text(text)
        return subprocess.run(
            [sys.executable, "-B", HERE / f"{name}.py", root, *EXTRA_ARGUMENTS.get(name, [])],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main():
    failures = 0

    def expect(holds, what, output):
        nonlocal failures
        if not holds:
            failures += 1
            print(f"{what}\n{output}")

    for name in sorted({b[0] for b in BREAKS}):
        run = check(name, {})
        expect(run.returncode == 0, f"{name}: rejects a project that is right", run.stdout)
    for name, path, text, words in BREAKS:
        run = check(name, {path: text})
        if words is None:  # the build proves this one, or there is nothing wrong
            expect(run.returncode == 0, f"{name}: rejects {path}: {text}", run.stdout)
        else:
            expect(run.returncode == 1 and words in run.stdout,
                   f"{name}: accepts, or says something else of, {path}: {text}", run.stdout)
    print(f"{failures} of {len(BREAKS)} checks failed")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
