#!/bin/sh
# SPDX-License-Identifier: MIT
# file_model.sh: random operations on one file, of every kind that a file knows,
# leave in it what the same leave in memory: tests/mount/file_model.c, with
# mounts of different memory between. SHALEFS_ROUNDS such mounts; each takes
# another seed, from SHALEFS_SEED on.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
rounds=${SHALEFS_ROUNDS:-3}

shalefs mkfs "$store"
round=0
while [ "$round" -lt "$rounds" ]; do
	start_mount "$store" "$mnt" "memory=$((32 << round % 4))M"
	SHALEFS_SEED=$((seed + round))
	export SHALEFS_SEED
	claim "file and memory are alike, seed $SHALEFS_SEED" \
		"$tools/file_model" "$mnt/file" "$scratch/state" 1500
	stop_mount "$mnt"
	round=$((round + 1))
done
check_clean "$store"
kit_end
