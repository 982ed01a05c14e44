#!/bin/sh
# SPDX-License-Identifier: MIT
# tree_storm.sh: processes that change one tree at random, in each other's way,
# meet no error that they should not, and leave a tree that check finds whole:
# after an unmount, and after the death of the daemon. SHALEFS_ROUNDS times.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
rounds=${SHALEFS_ROUNDS:-2}

tree() {
	(cd "$mnt" && find . -printf '%p %y %n %s %i\n' | sort)
}

shalefs mkfs "$store"
round=0
while [ "$round" -lt "$rounds" ]; do
	start_mount "$store" "$mnt" "memory=$((32 << round % 3))M"
	SHALEFS_SEED=$((seed + round))
	export SHALEFS_SEED
	claim "five processes at once, seed $SHALEFS_SEED" \
		"$tools/tree_storm" "$mnt" 5 1500
	tree >"$scratch/before"
	if [ $((round % 2)) -eq 0 ]; then
		stop_mount "$mnt"
	else
		kill_daemon "$mnt"
	fi
	check_clean "$store"
	start_mount "$store" "$mnt"
	tree >"$scratch/after"
	claim "another mount finds the same tree" diff "$scratch/before" \
		"$scratch/after"
	stop_mount "$mnt"
	round=$((round + 1))
done
check_clean "$store"
kit_end
