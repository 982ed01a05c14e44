#!/bin/sh
# SPDX-License-Identifier: MIT
# kvbench_runs.sh: every workload runs with every engine of this build and reads
# what it wrote; what it cannot do, it says.
set -eu

kvbench=${BUILDDIR:-.}/tests/bench/kvbench
work=$(mktemp -d "${TMPDIR:-/tmp}/kvbench_runs.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fault() {
	echo "$1"
	exit 1
}

mkdir "$work/disk"
"$kvbench" --list >"$work/list"
"$kvbench" --full --scale=0.0001 --repeat=1 --minutes=0.01 \
	--json="$work/figures" "$work/disk" >"$work/out" ||
	fault "$(tail -n 20 "$work/out")"
"$kvbench" --workloads=seq-100 --engines=lsm-unpaced --scale=0.0001 --repeat=1 \
	--json="$work/named" "$work/disk" >"$work/out" ||
	fault "$(tail -n 20 "$work/out")"
cat "$work/named" >>"$work/figures"
grep '^[a-z]' "$work/list" | sed 's/ .*//' >"$work/names"
grep -q . "$work/names" || fault "it lists nothing"
while read -r name; do
	grep -q "\"$name\"" "$work/figures" || fault "$name has no figures"
done <"$work/names"
rmdir "$work/disk" || fault "it left something behind"

mkdir "$work/disk"
"$kvbench" budget --budget=1M --total=2M "$work/disk" >"$work/out" ||
	fault "$(tail -n 20 "$work/out")"
rmdir "$work/disk" || fault "kvbench budget left something behind"

mkdir "$work/disk"
"$kvbench" compaction --keys=20000 --seconds=1 --rounds=1 "$work/disk" \
	>"$work/out" || fault "$(tail -n 20 "$work/out")"
rmdir "$work/disk" || fault "kvbench compaction left something behind"

for mistake in --workloads=none --engines=none --scale=0 --repeat=0 --no-such; do
	status=0
	"$kvbench" "$mistake" "$work" >/dev/null 2>"$work/err" || status=$?
	[ "$status" -eq 2 ] || fault "$mistake: exit status $status"
	[ -s "$work/err" ] || fault "$mistake: nothing was said"
done
if "$kvbench" --scale=0.0001 "$work/missing" >/dev/null 2>&1; then
	fault "a folder that is not there was accepted"
fi
