#!/bin/sh
# SPDX-License-Identifier: MIT
# mutate_credit.sh: each re-check of the credit pool is needed. Takes out one
# call of recheck() in credit.c at a time and wants a test to fail.
set -eu

src=${srcdir:-.}
at_least=4
cc=${CC:-cc}
: "${CK_DEFAULT_TIMEOUT:=5}" "${SHALEFS_HANG_S:=3}"
if [ "$CK_DEFAULT_TIMEOUT" -gt 5 ]; then
	CK_DEFAULT_TIMEOUT=5
fi
CK_FORK=yes
CK_VERBOSITY=normal
export CK_DEFAULT_TIMEOUT SHALEFS_HANG_S CK_FORK CK_VERBOSITY
unset CK_RUN_SUITE CK_XML_LOG_FILE_NAME CK_TAP_LOG_FILE_NAME CK_LOG_FILE_NAME

credit=$src/engine/mem/credit.c
[ -f "$credit" ] || { echo "no $credit in $PWD"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/mutate_credit.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

flags="-std=gnu11 -D_GNU_SOURCE -O1 -I$src/engine -I$src"
# shellcheck disable=SC2046 # flags are words
compile() { # OUTPUT SOURCE
	$cc $flags $(pkg-config --cflags check libxxhash) -c -o "$1" "$2"
}

# Everything but the pool, once.
for file in engine/mem/memtable engine/mem/skiplist \
	engine/base/arena engine/base/buf engine/base/coding engine/base/key \
	engine/base/sync tests/support/gen \
	tests/engine/mem/test_credit tests/engine/mem/test_credit_states \
	tests/engine/mem/test_credit_threads tests/engine/mem/credit_kit; do
	compile "$work/$(basename "$file").o" "$src/$file.c"
done

# try SOURCE: build it and run what is stepped by hand; 0 when all tests pass.
# A source that does not build ends the script: that proves nothing.
try() {
	compile "$work/pool.o.tmp" "$1" || exit 1
	mv "$work/pool.o.tmp" "$work/credit.o"
	# shellcheck disable=SC2046
	$cc -o "$work/test" "$work"/*.o \
		$(pkg-config --libs check libxxhash) -lpthread || exit 1
	: >"$work/log"
	for case in queue states; do
		CK_RUN_CASE=$case "$work/test" >>"$work/log" 2>&1 || return 1
	done
}

try "$credit" || {
	cat "$work/log"
	echo "FAIL: the tests do not pass as it stands"
	exit 1
}

lines=$(sed -n '/^[[:space:]]*recheck(.*event:/=' "$credit")
calls=$(grep -c '^[[:space:]]*recheck(' "$credit")
found=0
survived=0
for line in $lines; do
	found=$((found + 1))
	event=$(sed -n "$line s/.*event: \(.*\) \*\/.*/\1/p" "$credit")
	sed "${line}d" "$credit" >"$work/credit.c"
	if try "$work/credit.c"; then
		echo "SURVIVED: without the re-check at \"$event\""
		survived=$((survived + 1))
	else
		killer=$(sed -n 's/^.*:[EF]:[^:]*:\([^:]*\):.*/\1/p' "$work/log" |
			head -n 1)
		echo "killed: without the re-check at \"$event\": ${killer:-?}"
	fi
done

if [ "$found" -lt "$at_least" ] || [ "$found" -ne "$calls" ]; then
	echo "FAIL: $found of $calls re-checks are marked, of at least $at_least"
	exit 1
fi
[ "$survived" -eq 0 ] || exit 1
echo "$found re-checks, each needed"
