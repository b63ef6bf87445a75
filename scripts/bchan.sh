#!/usr/bin/env bash
# `bchan` of the environment that make has built here, or else the one on the path.
set -euo pipefail
shopt -s nullglob
for bchan in "$(dirname "$0")"/../.venv*/bin/bchan; do
    exec "$bchan" "$@"
done
exec bchan "$@"
