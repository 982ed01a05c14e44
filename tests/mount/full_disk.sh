#!/bin/sh
# SPDX-License-Identifier: MIT
# full_disk.sh: a small disk, filled and emptied SHALEFS_ROUNDS times (3): ENOSPC
# and never EIO, deleting and cutting at any time, writing again after that, what
# df says all the while, and that nothing that was written is another. SHALEFS_FS
# is the filesystem of that disk (ext4), SHALEFS_DISK_MIB its size.
. "$(dirname "$0")/mount_kit.sh"
kit_need_root full_disk
host_fs=${SHALEFS_FS:-ext4}
kit_need_tools "mkfs.$host_fs" losetup
kit_begin

disk=$scratch/disk
store=$disk/store
mnt=$scratch/mnt
rounds=${SHALEFS_ROUNDS:-3}
size_mib=${SHALEFS_DISK_MIB:-160}

# KiB: df's view of a folder.
available() {
	df -k --output=avail "$1" | tail -n 1 | tr -d ' '
}

sums() {
	(cd "$mnt" && find . -type f -print0 | sort -z | xargs -0 -r cksum)
}

# write_file NAME BYTES: what a tool says, and its exit code.
write_file() {
	{ head -c "$2" /dev/urandom >"$mnt/$1"; } 2>"$scratch/said"
}

# The last file may be cut short: what it says it has must be readable.
fill() {
	files=0
	while write_file "f$files" 500000; do
		files=$((files + 1))
	done
	grep -q 'No space left on device' "$scratch/said" ||
		fail "another error than ENOSPC: $(cat "$scratch/said")"
	say "ok: after $files files there is no space left"
}

# What compactions give back meanwhile is taken too.
take_the_disk() {
	dd if=/dev/zero of="$disk/others" bs=64K oflag=append conv=notrunc \
		2>/dev/null || :
	! write_file more 3000000
}

is_about() {
	found=$(available "$mnt")
	[ "$found" -ge $(($1 - margin)) ] && [ "$found" -le $(($1 + margin)) ]
}

# What was deleted is free once the kernel has forgotten it, which is soon.
claim_available() {
	kit_poll 10 is_about "$2" ||
		fail "$1: $found is not about $2 ($margin)"
	say "ok: $1: $found is about $2"
}

# The other loop devices belong to others.
release_disk() {
	umount "$disk" 2>/dev/null || :
	[ -z "$loop" ] || losetup -d "$loop" 2>/dev/null || :
	loop=
}

truncate -s "${size_mib}M" "$scratch/image"
loop=$(losetup --show -f "$scratch/image")
trap 'code=$?; set +e; kit_stop_everything; release_disk
	(exit $code); kit_cleanup' EXIT
"mkfs.$host_fs" -q "$loop" >/dev/null
mkdir "$disk"
mount -t "$host_fs" "$loop" "$disk"
chmod 755 "$disk"

shalefs mkfs "$store"
start_mount "$store" "$mnt" memory=64M
empty=$(available "$mnt")
claim_number "df leaves no more than the disk has" "$empty" \
	-le "$(available "$disk")"
echo kept >"$mnt/kept"
margin=$((size_mib * 1024 / 16))

round=0
while [ "$round" -lt "$rounds" ]; do
	# ---- filled ----------------------------------------------------------
	fill
	claim_number "df says that it is full" "$(available "$mnt")" -le 4096
	sums >"$scratch/full.sums"
	claim "a change of a name is no growth to speak of" \
		mv "$mnt/f0" "$mnt/g0"
	mv "$mnt/g0" "$mnt/f0"

	# ---- emptied, in part ------------------------------------------------
	before=$(available "$mnt")
	half=$((files / 2))
	i=0
	while [ "$i" -lt "$half" ]; do
		rm "$mnt/f$((i * 2))" || fail "rm on a full disk"
		i=$((i + 1))
	done
	claim "what is open can be cut" truncate -s 100000 "$mnt/f1"
	claim_available "df after half of it is deleted" \
		$((before + half * 490 + 390))
	claim "now there is room again" write_file again \
		$((half * 300000))
	rm "$mnt/again" "$mnt/f1"
	sums >"$scratch/half.sums"
	claim "what is left is as it was" sh -c \
		"! grep -vxFf '$scratch/full.sums' '$scratch/half.sums'"

	# ---- another has taken all of the disk, the reserve too ---------------
	if [ $((round % 3)) -eq 0 ]; then
		wait_until "there is no room left" take_the_disk
		grep -q 'No space left on device' "$scratch/said" ||
			fail "not ENOSPC: $(cat "$scratch/said")"
		say "ok: a disk that others filled is no error either"
		claim "deleting works" rm -f "$mnt/more" "$mnt/f3"
		claim "and reading" test "$(cat "$mnt/kept")" = kept
		rm "$disk/others"
		wait_until "there is room again" write_file more 3000000
		rm -f "$mnt/more"
	fi

	# ---- emptied -----------------------------------------------------------
	rm -f "$mnt"/f*
	claim_available "df after all is deleted" "$empty"
	stop_mount "$mnt"
	check_clean "$store"
	start_mount "$store" "$mnt" memory=64M
	claim "what was kept is there" test "$(cat "$mnt/kept")" = kept
	round=$((round + 1))
done

wait_until "the disk below has its space back" sh -c "
	[ \$(df -k --output=used '$disk' | tail -n 1) -le $((margin * 2)) ]"
say "ok: the disk below has its space back"
stop_mount "$mnt"
check_clean "$store"
release_disk
kit_end
