#!/bin/sh
# SPDX-License-Identifier: MIT
# umount.sh: mount returns when the mount is usable, umount when the store is
# closed; a signal ends the daemon in good order; a store has one daemon.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"
shalefs mkfs "$store"

lock_is_free() {
	flock -n "$store/LOCK" true
}

# ---- in the background -------------------------------------------------------

i=0
while [ "$i" -lt 10 ]; do
	i=$((i + 1))
	shalefs mount "$store" "$mnt" || fail "mount $i"
	is_mounted "$mnt" || fail "mount $i returned before it was mounted"
	echo "$i" >"$mnt/file$i" ||
		fail "mount $i returned before it was usable"
	! lock_is_free || fail "the daemon does not hold LOCK"
	shalefs umount "$mnt" || fail "umount $i"
	lock_is_free || fail "umount $i returned before LOCK was free"
	! is_mounted "$mnt" || fail "umount $i returned and it is mounted"
	[ ! -e "$store/control.sock" ] || fail "control.sock was left"
done
say "ok: mount returns when it is usable, umount when LOCK is free, 10 times"
check_clean "$store"

# With much to flush at the end.
shalefs mount "$store" "$mnt"
head -c 20000000 /dev/urandom >"$mnt/large"
cp "$mnt/large" "$scratch/large"
shalefs umount "$mnt"
claim "LOCK is free after a large flush" lock_is_free

# umount(8) knows nothing of the daemon, but the daemon closes as well.
shalefs mount "$store" "$mnt"
claim "what was flushed is there" cmp "$mnt/large" "$scratch/large"
umount "$mnt" 2>/dev/null || fusermount3 -u "$mnt"
wait_until "the daemon of an unmounted mount ends" lock_is_free
say "ok: umount(8) ends the daemon too"

# Names that are trouble in options, in socket addresses, in tables of mounts.
odd="$scratch/$(printf 'x%.0s' $(seq 150))"
mkdir "$odd" "$odd/a folder, and \\more"
shalefs mkfs "$odd/a store, and \\more"
claim "mount in a pipe lets go of it" timeout 60 sh -c "'$program' mount \
	'$odd/a store, and \\more' '$odd/a folder, and \\more' | cat"
claim "its store is found by the mountpoint" \
	shalefs stats "$odd/a folder, and \\more"
claim "it is forked" shalefs fork "$odd/a folder, and \\more" "$odd/fork,"
claim "and unmounted" shalefs umount "$odd/a folder, and \\more"
check_clean "$odd/fork,"

# ---- in the foreground -------------------------------------------------------

start_mount "$store" "$mnt"
claim "-f stays in the foreground" kill -0 "$(daemon_pid "$mnt")"
claim "control.sock is for its owner only" test \
	"$(stat -c '%a %F' "$store/control.sock")" = "600 socket"
claim "the mount's source is the store" test "$(awk -v mnt="$mnt" '$5 == mnt {
	sub(/.* - /, ""); print $1, $2 }' /proc/self/mountinfo)" = \
	"fuse.shalefs $store"

claim_refused "a second daemon is refused" "$store" "in use" \
	shalefs mount "$store" "$scratch"
mkdir "$scratch/other"
claim_refused "also elsewhere" "$store" "in use" \
	shalefs mount "$store" "$scratch/other"
claim_refused "another mount on the same folder is refused" "$mnt" \
	"mounted there" shalefs mount "$store" "$mnt"
claim_refused "check of a mounted store is refused" "$store" "in use" \
	shalefs check "$store"
claim "the mount does not mind" ls "$mnt/large"

# ---- busy --------------------------------------------------------------------

"$tools/one_call" hold "$mnt/large" >"$scratch/hold.out" &
holder=$!
wait_until "a file is held open" test -s "$scratch/hold.out"
claim_refused "umount of a busy mount is refused" "$mnt" "in use" \
	shalefs umount "$mnt"
claim "it goes on" cmp "$mnt/large" "$scratch/large"
claim "a lazy umount is not" shalefs umount -l "$mnt"
claim_fails "it is gone from the tree" is_mounted "$mnt"
claim_fails "its daemon serves who still uses it" lock_is_free
kill "$holder"
wait "$holder" 2>/dev/null || :
kit_reap "$(daemon_pid "$mnt")"
rm "$(kit_pid_file "$mnt")"
claim_number "the daemon ends with the last user" "$kit_code" -eq 0
claim "and has closed the store" lock_is_free

# ---- signals -----------------------------------------------------------------

for signal in TERM INT HUP; do
	start_mount "$store" "$mnt"
	echo "before $signal" >"$mnt/$signal"
	cd "$mnt"
	kill -"$signal" "$(daemon_pid "$mnt")"
	kit_reap "$(daemon_pid "$mnt")"
	cd "$scratch"
	rm "$(kit_pid_file "$mnt")"
	claim_number "SIG$signal ends the daemon with 0" "$kit_code" -eq 0
	claim_fails "and detaches the mount, though it was in use" \
		is_mounted "$mnt"
	claim "and frees LOCK" lock_is_free
	check_clean "$store"
done
start_mount "$store" "$mnt"
for signal in TERM INT HUP; do
	claim "what was written before SIG$signal is there" \
		test "$(cat "$mnt/$signal")" = "before $signal"
done

# A busy writer gets an error, and what returned is there.
i=0
(while echo "$i" >"$mnt/n$i"; do
	echo "$i" >"$scratch/acknowledged"
	i=$((i + 1))
done) 2>/dev/null &
writer=$!
wait_until "the writer is at work" test -s "$scratch/acknowledged"
kill -TERM "$(daemon_pid "$mnt")"
kit_reap "$(daemon_pid "$mnt")"
rm "$(kit_pid_file "$mnt")"
claim_number "SIGTERM in the middle of writes" "$kit_code" -eq 0
# The writer goes on in the bare folder below.
kill "$writer"
wait "$writer" 2>/dev/null || :
rm -f "$mnt"/n*
kit_check_reports
check_clean "$store"

# ---- what is not ours --------------------------------------------------------

claim_refused "umount of a folder that is no mount" "$scratch/other" \
	"not mounted" shalefs umount "$scratch/other"
claim_refused "umount of what does not exist" "$scratch/missing" \
	"no such file" shalefs umount "$scratch/missing"
claim_refused "umount of another filesystem" /proc "not a shalefs mount" \
	shalefs umount /proc
kit_end
