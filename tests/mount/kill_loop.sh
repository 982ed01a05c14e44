#!/bin/sh
# SPDX-License-Identifier: MIT
# kill_loop.sh: the daemon is killed at random moments while two writers are at
# work; after each time every operation that returned is there, and check is
# clean. SHALEFS_ROUNDS: how often (8).
. "$(dirname "$0")/mount_kit.sh"
kit_begin

rounds=${SHALEFS_ROUNDS:-8}
least=100 # operations of a round, of each writer
store=$scratch/store
mnt=$scratch/mnt
random=$seed
total=0

# The next of a series that the seed determines, below $1.
next_random() {
	random=$(((random * 1103515245 + 12345) % 2147483648))
	random_value=$((random / 8 % $1))
}

# has_returned JOURNAL COUNT PID: or the writer has failed.
has_returned() {
	kit_is_gone "$3" ||
		{ [ -e "$1" ] && [ "$(grep -c '^=' "$1")" -ge "$2" ]; }
}

# Small pools, so that flushes and compactions are met; and the large one.
pick_options() {
	next_random 4
	case $random_value in
	0) options=memory=256M ;;
	1) options=memory=16M,credit=256K ;;
	2) options=memory=16M,credit=1M ;;
	3) options=memory=32M,credit=0 ;;
	esac
}

verify_one() {
	"$tools/kill_writer" verify "$mnt/$1" "$scratch/$1.journal" \
		>"$scratch/verify.out" || {
		cat "$scratch/verify.out"
		fail "round $round: $1 is not what its writer made"
	}
	count=$(tail -n 1 "$scratch/verify.out")
	[ "$count" -ge "$least" ] || fail "only $count operations in $1"
}

one_round() {
	pick_options
	start_mount "$store" "$mnt" "$options"
	writers=
	for who in a b; do
		name=r$round$who
		mkdir "$mnt/$name"
		next_random 1000000
		"$tools/kill_writer" write "$mnt/$name" \
			"$scratch/$name.journal" "$random_value" \
			2>>"$scratch/writers.log" &
		writers="${writers:+$writers }$!"
	done
	next_random 1200
	goal=$((least + random_value))
	wait_until "enough operations returned" \
		has_returned "$scratch/r${round}a.journal" "$goal" \
		"${writers%% *}"
	wait_until "enough operations of the other" \
		has_returned "$scratch/r${round}b.journal" "$least" \
		"${writers##* }"
	kill_daemon "$mnt"
	for writer in $writers; do
		wait "$writer" || {
			cat "$scratch/writers.log"
			fail "round $round: a writer failed"
		}
	done
	shalefs check "$store" >"$scratch/check.out" 2>&1 || {
		head -n 20 "$scratch/check.out"
		fail "round $round: check finds faults after the kill"
	}
}

verify_round() {
	pick_options
	start_mount "$store" "$mnt" "$options"
	operations=0
	for who in a b; do
		verify_one "r$round$who"
		operations=$((operations + count))
	done
	total=$((total + operations))
	say "ok: round $round: killed after $goal, $operations operations" \
		"compared ($options)"
	# Every other time this daemon is killed as well, at rest.
	next_random 2
	if [ "$random_value" -eq 0 ]; then
		kill_daemon "$mnt"
	else
		stop_mount "$mnt"
	fi
}

shalefs mkfs "$store"
round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	one_round
	verify_round
done

# What later rounds did has changed nothing of the earlier ones.
start_mount "$store" "$mnt"
round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	for who in a b; do
		verify_one "r$round$who"
	done
done
stop_mount "$mnt"
check_clean "$store" "all $rounds rounds are whole in the end; check is clean"
say "$total operations compared, $rounds kills"
kit_end
