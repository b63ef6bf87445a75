#!/usr/bin/env bash
# Four producers, four consumers, one ring: 5 runs and their spread. Options: bchan bench vyukov -h.
set -euo pipefail
exec "$(dirname "$0")/bchan.sh" bench vyukov --runs 5 "$@"
