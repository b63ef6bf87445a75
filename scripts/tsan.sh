#!/usr/bin/env bash
# The core's stress tests under ThreadSanitizer, with the stable toolchain.
#
# The standard library is not instrumented (there is no source to rebuild it from), which the flag
# about the ABI admits; what the core and its tests do is. ThreadSanitizer knows no fences and no
# membarrier, so this checks what rests on acquire and release: slots, heads, tails, the hand-over
# of lanes and places. What rests on fences is loom's to check. Plain memory, because the maps are made
# by system calls that it does not see: it would take a new ring for an old one at the same address.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan"
export TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/scripts/tsan.supp ${TSAN_OPTIONS:-}"
exec cargo test -p bchan --features portable --test stress --target "$target" "$@"
