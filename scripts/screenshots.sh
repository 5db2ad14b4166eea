#!/usr/bin/env bash
# Makes the pictures of the documentation: scripts/screenshots.sh [DIR]. Each is made by a test, which tries what it
# shows with every run and keeps a picture only when it is told where. Programs that are missing: scripts/test.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

directory=${1:-docs/images}
mkdir -p "$directory"
TALK_SCREENSHOTS=$(realpath "$directory")
export TALK_SCREENSHOTS

# Who makes them: an integration test, and a part of the names of those in it that make pictures.
makers=(
    page:pictures # in a browser: light, dark, on a phone
    client_full_pictures:a_conversation # on terminals of the usual sizes
)

for maker in "${makers[@]}"; do
    cargo test --locked --test "${maker%%:*}" "${maker##*:}"
done
ls -l "$TALK_SCREENSHOTS"
