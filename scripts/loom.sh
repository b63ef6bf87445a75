#!/usr/bin/env bash
# Model checking of the core: every interleaving of small programs, up to a bound on preemptions.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
# A model that is not through after this many seconds ends there, so that all end in some minutes.
export LOOM_MAX_DURATION="${LOOM_MAX_DURATION:-30}"
exec cargo test --profile release-test -p bchan --test loom "$@"
