#!/usr/bin/env bash
# Four producers, one consumer, batches of 64: 5 runs and their spread. Options: bchan bench mpsc -h.
set -euo pipefail
exec "$(dirname "$0")/bchan.sh" bench mpsc --runs 5 "$@"
