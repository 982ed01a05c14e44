#!/bin/sh
# SPDX-License-Identifier: MIT
# twin.sh: random operations on names and attributes, by several users, have the
# same results, the same tree and the same moves of times on a mount and on ext4:
# tests/mount/twin.c. SHALEFS_ROUNDS mounts of 400 operations each; each takes
# another seed, from SHALEFS_SEED on. Root only, and TMPDIR must be on ext4.
. "$(dirname "$0")/mount_kit.sh"
kit_begin
kit_need_root "acting as others"
[ "$(stat -f -c %T "$scratch")" = ext2/ext3 ] || {
	say "skipped: $scratch is not on ext4"
	exit 77
}

store=$scratch/store
mnt=$scratch/mnt
rounds=${SHALEFS_ROUNDS:-2}

shalefs mkfs "$store"
mkdir "$scratch/reference"
round=0
while [ "$round" -lt "$rounds" ]; do
	start_mount "$store" "$mnt" allow_other,dev,suid
	mkdir -p "$mnt/twin"
	SHALEFS_SEED=$((seed + round))
	export SHALEFS_SEED
	claim "mount and ext4 are alike, seed $SHALEFS_SEED" \
		"$tools/twin" "$mnt/twin" "$scratch/reference" 400
	stop_mount "$mnt"
	round=$((round + 1))
done
check_clean "$store"
kit_end
