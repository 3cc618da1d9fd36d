#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh TARGET CORPUS: the corpus, then a fixed number of mutations from a fixed seed. RUNS=N for
# another number, SEED=N for another seed. New inputs go to a scratch folder, never to the corpus;
# what fails is kept beside the target.
set -euo pipefail
target=$1 corpus=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$target" -runs="${RUNS:-40000}" -seed="${SEED:-1}" -timeout=20 -rss_limit_mb=2048 -verbosity=0 \
    -artifact_prefix="$target-" "$scratch" "$corpus"
