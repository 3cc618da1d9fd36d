#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 to the whole test suite: the release build with every test, then the unit
# tests and the simulator under ASan and UBSan, then the unit and stress tests under TSan, then the
# injected bugs that the simulator must catch, then the fuzzers.
# --quick: the release build alone. --long: everything, then the build in which each source is
# compiled by itself, the full campaigns of the simulator, the simulator on aarch64, the drills that
# kill and corrupt, and the mutants (tests/mutation): hours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

quick=no long=no
case "${1-}" in
"") ;;
--quick) quick=yes ;;
--long) long=yes ;;
*)
    echo "usage: scripts/test.sh [--quick | --long]" >&2
    exit 2
    ;;
esac

# GCC 12's sanitizers can't place their shadow where newer kernels spread addresses wider than
# Debian 12's does. Containers may forbid the remedy; then we go without.
fixed_addresses=()
if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
    fixed_addresses=(setarch "$(uname -m)" --addr-no-randomize)
fi

summary=()

# run_suite PRESET [TARGET...]: builds (everything, or the targets) and runs the preset's tests.
run_suite() {
    local preset=$1 wrap=() log=build/$1/ctest.log
    shift
    [ "$preset" = release ] || wrap=("${fixed_addresses[@]}")
    echo "== $preset: build"
    cmake --preset "$preset"
    "${wrap[@]}" cmake --build --preset "$preset" ${1:+--target "$@"}
    echo "== $preset: test"
    "${wrap[@]}" ctest --preset "$preset" | tee "$log"
    summary+=("$preset: $(grep 'tests passed' "$log")")
}

# A simulated history is a pure function of its seed, whatever the build.
traces() {
    "${fixed_addresses[@]}" "build/$1/tests/sim_tests" '[traces]' | grep '^trace of'
}

scripts/install_packages.sh
run_suite release
if [ $quick = no ]; then
    run_suite asan unit_tests sim_tests
    echo "== traces: release against asan"
    diff <(traces release) <(traces asan)
    summary+=("traces: $(traces release | wc -l) histories, the same in release and asan")
    run_suite tsan unit_tests stress_tests
    run_suite canary canary_tests
    run_suite fuzz
fi
if [ $long = yes ]; then
    echo "== dev: each source compiled by itself"
    cmake --preset dev
    cmake --build --preset dev
    seeds=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
    for profile in cuts away wide media drives older beyond all; do
        echo "== campaign: $profile"
        build/release/qlcshape sim --profile $profile --seeds "$seeds..$((seeds + 1999))" |
            tee build/campaign.log
        summary+=("campaign $profile: $(grep -E '^[0-9]+ cycles in' build/campaign.log)")
    done
    echo "== aarch64"
    scripts/test_aarch64.sh | tee build/aarch64.log
    summary+=("aarch64: the same histories, and $(grep -E '^[0-9]+ cycles in' build/aarch64.log)")
    echo "== drills"
    QLCSHAPE_KILLS=200 QLCSHAPE_KV_KILLS=100 QLCSHAPE_UBLK_KILLS=50 \
        ctest --preset release -R '^e2e/(nbd_kill|kv_kill|vm_ublk)$'
    summary+=("drills: 200 kills of an NBD server, 100 of kv_store, 50 of a ublk server")
    echo "== mutants"
    python3 -B tests/mutation/run.py | tee build/mutants.log
    summary+=("$(grep '^mutation score' build/mutants.log)")
fi
printf '%s\n' "${summary[@]}"
echo "All passed in $SECONDS s."
