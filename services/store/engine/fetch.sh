#!/usr/bin/env bash
# Fetches the pinned ClickHouse engine (libchdb) once and prints the path of its shared library.
# The lockfile's integrity hash is checked by npm; the cache is keyed by the lockfile, so a new pin is a new folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${TOKENTRAIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tokentrail}
key=$(sha256sum "$here/package-lock.json" | cut -c1-16)
dir=$cache/engine/$key
if [ ! -e "$dir/ready" ]; then
  command -v npm >/dev/null || { echo "fetch.sh: npm is needed to fetch the ClickHouse engine; install Node.js with npm" >&2; exit 1; }
  mkdir -p "$cache/engine"
  exec 9>"$cache/engine/lock"
  flock 9
  if [ ! -e "$dir/ready" ]; then
    work=$(mktemp -d "$cache/engine/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/"
    echo "fetching the ClickHouse engine (180 MB, once) ..." >&2
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    [ -n "$(find "$work/node_modules/@chdb" -name 'libchdb.so')" ] || { echo "fetch.sh: the package holds no libchdb.so" >&2; exit 1; }
    rm -rf "$dir" && mv "$work" "$dir" && touch "$dir/ready"
    trap - EXIT
  fi
fi
find "$dir/node_modules/@chdb" -name libchdb.so | head -n 1
