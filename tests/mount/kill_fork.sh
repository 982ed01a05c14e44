#!/bin/sh
# SPDX-License-Identifier: MIT
# kill_fork.sh: the daemon is killed while it makes a fork. The fork is whole or
# not there; its parent has lost nothing. SHALEFS_ROUNDS: how often (8).
. "$(dirname "$0")/mount_kit.sh"
kit_begin

rounds=${SHALEFS_ROUNDS:-8}
store=$scratch/store
mnt=$scratch/mnt
made=0
lost=0

shalefs mkfs "$store"
start_mount "$store" "$mnt"
"$tools/busy_writer" fill "$mnt" 5000 1000
cp -a "$mnt/d0" "$scratch/contents"
round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	fork=$scratch/fork$round
	# Something unsynced, so that the fork has to wait for the disk.
	head -c 3000000 /dev/urandom >"$mnt/noise$round"
	cp "$mnt/noise$round" "$scratch/noise"
	shalefs fork "$mnt" "$fork" >"$scratch/fork.out" 2>"$scratch/fork.err" &
	forker=$!
	# Not to wait for something: this is the moment of the kill.
	sleep "0.0$(((seed / 7 + round * 13) % 40 + 10))"
	kill_daemon "$mnt"
	code=0
	wait "$forker" || code=$?
	if [ "$code" -ne 0 ] && [ "$(wc -l <"$scratch/fork.err")" -ne 1 ]; then
		fail "fork does not say in one line that the daemon died"
	fi
	[ "$code" -ne 0 ] || [ -d "$fork" ] || fail "there is no fork"
	if [ -d "$fork" ]; then
		made=$((made + 1))
		shalefs check "$fork" >"$scratch/check.out" || {
			cat "$scratch/check.out"
			fail "round $round: the fork has faults"
		}
		start_mount "$fork" "$scratch/forkmnt"
		cmp "$scratch/noise" "$scratch/forkmnt/noise$round" ||
			fail "round $round: the fork lacks what was written"
		diff -r "$scratch/contents" "$scratch/forkmnt/d0" ||
			fail "round $round: the fork is not whole"
		stop_mount "$scratch/forkmnt"
	else
		lost=$((lost + 1))
	fi
	shalefs check "$store" >"$scratch/check.out" || {
		cat "$scratch/check.out"
		fail "round $round: the parent has faults"
	}
	start_mount "$store" "$mnt"
	cmp "$scratch/noise" "$mnt/noise$round" ||
		fail "round $round: the parent has lost a file"
done
say "ok: of $rounds forks, $made were whole and $lost not there"
claim "the last daemon forks" shalefs fork "$mnt" "$scratch/last"
check_clean "$scratch/last"
stop_mount "$mnt"
check_clean "$store"
left=$(find "$scratch" -maxdepth 1 -name '.tmp-*' | wc -l)
say "folders of unfinished forks left: $left"
kit_end
