#!/bin/sh
# A bot in a room, by `talk-client room --json`: bot.sh URL NICK. To "ping" it says "pong"; to "bye" it leaves.
set -eu
way=$(mktemp -d) && trap 'rm -rf "$way"' EXIT && mkfifo "$way/commands"
talk-client room --server "$1" --nick "$2" --json <"$way/commands" | while read -r event; do
    case $event in
    *'"event":"message"'*'"text":"ping"'*'"past":false,"own":false}') echo '{"do":"say","text":"pong"}' ;;
    *'"event":"message"'*'"text":"bye"'*'"past":false,"own":false}') echo '{"do":"exit"}' ;;
    esac
done >"$way/commands"
