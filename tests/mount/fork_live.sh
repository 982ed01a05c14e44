#!/bin/sh
# SPDX-License-Identifier: MIT
# fork_live.sh: a mounted store with many files, its memtable over half full and
# a writer busy, is forked. The fork is quick, flushes nothing, holds what had
# been acknowledged, goes its own way and outlives its parent.
# SHALEFS_FILES: how many files (20,000). SHALEFS_FORK_MS: how long the whole
# command may take (2,000, for machines that do much else).
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
fork=$scratch/fork
second=$scratch/second
mnt=$scratch/mnt
forkmnt=$scratch/forkmnt
files=${SHALEFS_FILES:-20000}
limit_ms=${SHALEFS_FORK_MS:-2000}
mib=1048576
memtable=$((24 * mib)) # sealed at 3/8 of the credit, which is 64 MiB

credit_used() {
	figure "$mnt" credit.used_bytes
}

flushes_are_done() {
	[ "$(credit_used)" -lt "$memtable" ]
}

# Until it is over half full, and far from being sealed; what was written before
# is on the disk.
fill_memtable() {
	wait_until "flushes are done" flushes_are_done
	i=0
	while :; do
		used=$(credit_used)
		[ "$used" -lt $((memtable * 3 / 4)) ] ||
			wait_until "a flush" flushes_are_done
		[ "$used" -le $((memtable / 2)) ] || break
		i=$((i + 1))
		head -c "$mib" /dev/urandom >"$mnt/filler$i"
	done
	# As a second later the daemon would have by itself.
	sync "$mnt/filler1"
}

# timed_fork SOURCE DEST: sets $took_ms, and prints what the command printed.
timed_fork() {
	began=$(date +%s%N)
	shalefs fork "$1" "$2" >"$scratch/fork.out" || fail "fork $1 $2"
	took_ms=$((($(date +%s%N) - began) / 1000000))
	say "$(cat "$scratch/fork.out")"
	say "the whole command took $took_ms ms"
}

shalefs mkfs "$store"
start_mount "$store" "$mnt" memory=256M
mkdir "$mnt/many" "$mnt/written"
began=$(date +%s)
"$tools/busy_writer" fill "$mnt/many" "$files" 1024
say "$files files were made in $(($(date +%s) - began)) s"

# ---- the fork ----------------------------------------------------------------

fill_memtable
"$tools/busy_writer" run "$mnt/written" "$scratch/counter" \
	>"$scratch/writer.out" &
writer=$!
wait_until "the writer is at work" test -s "$scratch/counter"
claim_number "the memtable is over half full" "$(credit_used)" \
	-gt $((memtable / 2))
flushed=$(figure "$mnt" flushes.count)
acknowledged=$(($(cat "$scratch/counter")))
timed_fork "$mnt" "$fork"
later=$(($(cat "$scratch/counter")))
claim_number "it took no longer than allowed, in ms" "$took_ms" -le "$limit_ms"
claim "nothing was flushed" grep -q ' 0 bytes flushed' "$scratch/fork.out"
claim "nothing was copied" grep -q ' 0 copied' "$scratch/fork.out"
claim_fails "files were linked" grep -q ' 0 files linked' "$scratch/fork.out"
claim "the writer goes on" kill -0 "$writer"
wait_until "the writer gets on" sh -c \
	"[ \$(cat '$scratch/counter') -gt $((later + 100)) ]"
kill -TERM "$writer"
wait "$writer" || fail "the writer failed"
say "the writer, across the fork: $(cat "$scratch/writer.out")"
say "flushes meanwhile: $(($(figure "$mnt" flushes.count) - flushed))"

# Every inode of the store's pool that the fork's has too.
shared=$(find "$fork/pool" -type f -links +1 | wc -l)
claim_number "the fork shares files with its parent" "$shared" -gt 0

# ---- what it holds -----------------------------------------------------------

check_clean "$fork" "check finds no fault in the fork"
start_mount "$fork" "$forkmnt"
claim_number "the fork has all $files files" \
	"$(find "$forkmnt/many" -type f | wc -l)" -eq "$files"
claim "and all $acknowledged that were acknowledged before" \
	"$tools/busy_writer" check "$forkmnt/written" "$acknowledged"
claim "none of them with a gap" test \
	"$(find "$forkmnt/written" -type f | wc -l)" -ge "$acknowledged"
claim "the filler is the same" cmp "$mnt/filler1" "$forkmnt/filler1"

# ---- each its own way --------------------------------------------------------

echo parent >"$mnt/who"
echo fork >"$forkmnt/who"
rm "$mnt/filler1"
rm -rf "$forkmnt/many/d0"
claim "the parent has its own" test "$(cat "$mnt/who")" = parent
claim "the fork has its own" test "$(cat "$forkmnt/who")" = fork
claim "what one removed the other has" test -s "$forkmnt/filler1"
claim "and the other way round" test -s "$mnt/many/d0/f0"
claim_fails "the first has it no more" test -e "$mnt/filler1"

# A fork of the fork, mounted; and one of a store at rest.
timed_fork "$fork" "$second"
stop_mount "$mnt"
check_clean "$store" "check finds no fault in the parent"
timed_fork "$store" "$scratch/third"
check_clean "$scratch/third" "nor in a fork of a store at rest"

# ---- outliving the parent ----------------------------------------------------

rm -rf "$store"
claim "the parent is deleted; the fork is whole" \
	"$tools/busy_writer" check "$forkmnt/written" "$acknowledged"
claim "also what it shared with it" sh -c \
	"tar -C '$forkmnt/many' -cf - . | cat >/dev/null"
stop_mount "$forkmnt"
check_clean "$fork" "check finds no fault without the parent"
rm -rf "$fork"
check_clean "$second" "nor in the fork of the fork without either"
start_mount "$second" "$mnt"
claim "it has what was acknowledged" \
	"$tools/busy_writer" check "$mnt/written" "$acknowledged"
claim "and what the fork wrote" test "$(cat "$mnt/who")" = fork
stop_mount "$mnt"
check_clean "$scratch/third" "nor in the third"
kit_end
