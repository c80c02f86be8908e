#!/usr/bin/env bash
# naysay on this host: the adapter, `naysay check` on every tier, the engine's tests, repeated training, the benchmark.
# Needs bash, gzip and tar, and no network. What is unpacked goes into a folder `unpacked` beside this script
# ($NAYSAY_HOST_WORK: elsewhere), 230 MB.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in bundle.json node.gz app.tar.br; do
  if [ ! -f "$here/$part" ]; then
    echo "run.sh: the folder that \`npm run bundle:host\` packs expected, got $here without $part. Pack it, and run host-bundle/run.sh." >&2
    exit 2
  fi
done
work=${NAYSAY_HOST_WORK:-$here/unpacked}
if ! { mkdir -p "$work" 2>/dev/null && [ -w "$work" ]; }; then work=$(mktemp -d); fi
node=$work/node

if [ ! -f "$work/bundle.json" ] || [ "$(cat "$work/bundle.json")" != "$(cat "$here/bundle.json")" ]; then
  gzip -dc "$here/node.gz" > "$node"
  chmod 755 "$node"
  if ! said=$("$node" --version 2>&1); then
    echo "run.sh: a host that runs Node was expected, got: $said. It needs glibc 2.28 or newer and libstdc++.so.6." >&2
    exit 1
  fi
  "$node" -e 'process.stdin.pipe(require("node:zlib").createBrotliDecompress()).pipe(process.stdout)' \
    < "$here/app.tar.br" | tar -xf - -C "$work"
  cp "$here/bundle.json" "$work/bundle.json"
fi

exec "$node" "$work/scripts/host/run.mjs" "$@"
