#!/bin/sh
# SPDX-License-Identifier: MIT
# membench_runs.sh: the memory of many keys, and of many stores, stays within a
# small budget; membench itself says when it does not.
set -eu

membench=${BUILDDIR:-.}/tests/bench/membench
work=$(mktemp -d "${TMPDIR:-/tmp}/membench_runs.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fault() {
	echo "$1"
	exit 1
}

mkdir "$work/disk"
"$membench" keys --memory=32M --keys=400K "$work/disk" >"$work/out" ||
	fault "$(cat "$work/out")"
[ "$(grep -c 'resident at most' "$work/out")" -eq 4 ] ||
	fault "keys: not four rows"
"$membench" stores --memory=32M --stores=40 --keys=100K "$work/disk" \
	>"$work/out" || fault "$(cat "$work/out")"
grep -q '^40 stores open' "$work/out" || fault "stores: not forty"
rmdir "$work/disk" || fault "it left something behind"

for mistake in none 'keys --keys=1' 'keys --memory=1M' 'stores --no-such'; do
	status=0
	# shellcheck disable=SC2086
	"$membench" $mistake "$work" >/dev/null 2>"$work/err" || status=$?
	[ "$status" -eq 2 ] || fault "$mistake: exit status $status"
	[ -s "$work/err" ] || fault "$mistake: nothing was said"
done
