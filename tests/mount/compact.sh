#!/bin/sh
# SPDX-License-Identifier: MIT
# compact.sh: shalefs compact gives back room, of a mount in use and of a store
# that is not mounted; a signal cancels it and harms nothing.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"
shalefs mkfs "$store"

pool_kib() {
	du -sk "$store/pool" | cut -f1
}

# A tree of $1 MiB that does not compress.
write_noise() {
	dd if=/dev/urandom of="$mnt/noise" bs=1M count="$1" iflag=fullblock \
		status=none
}

pool_is_below() {
	[ "$(pool_kib)" -lt "$1" ]
}

# ---- mounted -----------------------------------------------------------------

shalefs mount "$store" "$mnt"
claim "a store that holds next to nothing is compacted" shalefs compact "$mnt"
write_noise 40
cp "$mnt/noise" "$mnt/kept"
cp "$mnt/kept" "$scratch/kept"
rm "$mnt/noise"
sync -f "$mnt"
claim "a mount is compacted" shalefs compact "$mnt"
wait_until "the room of a removed file comes back" pool_is_below 60000
claim "what was kept reads the same" cmp "$mnt/kept" "$scratch/kept"
claim "a horizon is recorded" \
	sh -c "'$program' stats --json '$mnt' | grep -q '\"horizon\": *[1-9]'"

# Whether it is cancelled or done before: nothing is lost, nothing stays busy.
i=0
while [ "$i" -lt 5 ]; do
	i=$((i + 1))
	write_noise 30
	"$program" compact "$mnt" 2>"$scratch/said" &
	pid=$!
	kill -INT "$pid" 2>/dev/null || :
	status=0
	wait "$pid" || status=$?
	# 130 and not a word: the signal came before the program had begun.
	[ "$status" -eq 0 ] || grep -q "anceled" "$scratch/said" ||
		{ [ "$status" -eq 130 ] && [ ! -s "$scratch/said" ]; } ||
		fail "an interrupted command said $(cat "$scratch/said")"
	claim "figures can be had ($i)" shalefs stats "$mnt"
done
claim "it can be repeated" shalefs compact "$mnt"
claim "what was kept still reads the same" cmp "$mnt/kept" "$scratch/kept"

# The end of the mount ends a compaction as well.
write_noise 60
"$program" compact "$mnt" 2>/dev/null &
pid=$!
claim "a mount that is compacted can be unmounted" shalefs umount "$mnt"
wait "$pid" || :
check_clean "$store"

# ---- not mounted -------------------------------------------------------------

claim "a closed store is compacted" shalefs compact "$store"
check_clean "$store"
if "$program" compact "$scratch/nowhere" 2>"$scratch/said"; then
	fail "a store that does not exist was compacted"
fi
claim "what cannot be compacted is named" grep -q nowhere "$scratch/said"
