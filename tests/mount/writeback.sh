#!/bin/sh
# SPDX-License-Identifier: MIT
# writeback.sh: with the option writeback, small writes cost no request each, and
# files have the contents, sizes and times that their writers gave them; what was
# synced or closed survives the death of the daemon.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
shalefs mkfs "$store"
start_mount "$store" "$mnt" writeback
# claims_hold PROGRAM [CLAIM...]
claims_hold() {
	kit_claims=$1
	shift
	mkdir "$mnt/$kit_claims"
	"$tools/$kit_claims" "$mnt/$kit_claims" "$@" >"$scratch/claims.log" ||
		fail "claims of $kit_claims do not hold: $(
			grep -v '^ok' "$scratch/claims.log"
		)"
	say "ok: $(grep -c '^ok' "$scratch/claims.log") claims of $kit_claims"
}

claims_hold posix_names
# The kernel's clock for writes goes by ticks, so that two changes may have one
# time.
claims_hold posix_attrs statfs_follows_what_is_written \
	xattrs_are_set_listed_and_removed xattr_create_and_replace_look_first \
	xattr_limits_are_held times_are_kept_to_the_nanosecond \
	modes_and_owners_are_set
claims_hold posix_errors
claims_hold posix_lives
# All but those about holes, and what is allocated before it is written out.
claims_hold posix_data sizes_around_every_border_are_kept o_trunc_empties \
	truncate_cuts_and_grows_with_zeros reserve_grows_and_keeps_bytes \
	zeroed_range_reads_as_zeros copy_file_range_copies \
	mapped_stores_are_written mapping_sees_what_write_wrote \
	appends_of_several_processes_are_whole flock_keeps_processes_apart \
	fcntl_lock_keeps_others_out unlinked_open_file_lives_on \
	replaced_open_file_lives_on fsync_returns

mkdir "$mnt/times"
cd "$mnt/times"
before=$(figure "$mnt" requests.WRITE)
dd if=/dev/urandom of=small bs=100 count=5000 status=none
claim_number "5,000 small writes are few requests" \
	$(($(figure "$mnt" requests.WRITE) - before)) -le 50
claim_number "the size is what was written" "$(stat -c %s small)" -eq 500000
cksum <small >"$scratch/sum"
echo x >>small
truncate -s 500000 small
claim "it reads as it was written" \
	test "$(cksum <small)" = "$(cat "$scratch/sum")"

# A time that is set after the writes is not moved by their going out later.
head -c 300000 /dev/urandom >set
touch -d '2001-02-03 04:05:06.123456789 UTC' set
head -c 300000 /dev/urandom >unset
stat -c '%n %s %.9Y' set unset small >"$scratch/known"
claim "a time that was set stays" grep -q '^set 300000 981173106.123456789' \
	"$scratch/known"
cksum set unset small >"$scratch/sums"
cd "$scratch"
stop_mount "$mnt"
check_clean "$store"
start_mount "$store" "$mnt" writeback
cd "$mnt/times"
claim "sizes and times are the same in the next mount" \
	test "$(stat -c '%n %s %.9Y' set unset small)" = \
	"$(cat "$scratch/known")"
claim "so are contents" test "$(cksum set unset small)" = \
	"$(cat "$scratch/sums")"

# Closed, hence handed to the daemon, or synced.
head -c 700000 /dev/urandom >closed
cksum <closed >"$scratch/sum"
cd "$scratch"
kill_daemon "$mnt"
start_mount "$store" "$mnt"
claim "what was closed survives the death of the daemon" \
	test "$(cksum <"$mnt/times/closed")" = "$(cat "$scratch/sum")"
stop_mount "$mnt"
check_clean "$store"
kit_end
