#!/usr/bin/env bash
# Prints the path of a Chromium: the one in $TOKENTRAIL_CHROMIUM or on the PATH, else a pinned one that is fetched once.
# The lockfile's integrity hash is checked by npm; the cache is keyed by the lockfile, so a new pin is a new folder.
set -euo pipefail
if [ -n "${TOKENTRAIL_CHROMIUM:-}" ]; then echo "$TOKENTRAIL_CHROMIUM"; exit; fi
if command -v chromium; then exit; fi
here=$(cd "$(dirname "$0")" && pwd)
cache=${TOKENTRAIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tokentrail}
key=$(sha256sum "$here/package-lock.json" | cut -c1-16)
dir=$cache/browser/$key
if [ ! -e "$dir/ready" ]; then
  command -v npm >/dev/null || { echo "fetch.sh: npm is needed to fetch a browser; install Node.js with npm, or chromium" >&2; exit 1; }
  mkdir -p "$cache/browser"
  exec 9>"$cache/browser/lock"
  flock 9
  if [ ! -e "$dir/ready" ]; then
    work=$(mktemp -d "$cache/browser/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/"
    echo "fetching a Chromium (70 MB, once) ..." >&2
    # The package unpacks itself into the folder for temporary files.
    (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 &&
      TMPDIR=$work node --input-type=module -e 'await (await import("@sparticuz/chromium")).default.executablePath()')
    [ -x "$work/chromium" ] || { echo "fetch.sh: the package holds no Chromium" >&2; exit 1; }
    # Its own font alone, so that its pictures are alike on every machine.
    cat >"$work/fonts.conf" <<'CONF'
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
CONF
    rm -rf "$work/node_modules" "$dir" && mv "$work" "$dir" && touch "$dir/ready"
    trap - EXIT
  fi
fi
echo "$dir/chromium"
