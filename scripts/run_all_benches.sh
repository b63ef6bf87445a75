#!/usr/bin/env bash
# The whole suite in one report, 5 runs of each. Options: bchan bench all -h.
set -euo pipefail
exec "$(dirname "$0")/bchan.sh" bench all --runs 5 "$@"
