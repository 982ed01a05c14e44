#!/bin/sh
# SPDX-License-Identifier: MIT
# check_finds.sh: whatever is damaged, check names its class, exits with 1 and
# changes nothing; what is whole it calls whole.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

whole=$scratch/whole
store=$scratch/store
mnt=$scratch/mnt

# claim_found CLASS: on the store as it is.
claim_found() {
	before=$(fingerprint "$store")
	code=0
	shalefs check "$store" >"$scratch/check.out" 2>"$scratch/check.err" ||
		code=$?
	grep -q "^$1: " "$scratch/check.out" || {
		cat "$scratch/check.out" "$scratch/check.err"
		fail "check does not name the class $1"
	}
	[ "$code" -eq 1 ] || fail "$1: check exits with $code"
	[ "$(fingerprint "$store")" = "$before" ] || fail "$1: check writes"
	say "ok: $(grep "^$1: " "$scratch/check.out" | head -n 1)"
}

# claim_class CLASS DAMAGE [NAME]
claim_class() {
	copy_store "$whole" "$store"
	"$tools/damage" "$2" "$store" "${3:-file}"
	claim_found "$1"
}

tables() {
	find "$1/pool" -name '*.sst' | sort
}

shalefs mkfs "$whole"
check_clean "$whole" "check finds no fault in a new store"
start_mount "$whole" "$mnt"
head -c 300000 /dev/urandom >"$mnt/file"
echo small >"$mnt/small"
mkdir "$mnt/folder" "$mnt/folder/inner"
echo x >"$mnt/folder/x"
ln -s target "$mnt/link"
head -c 2000000 /dev/urandom >"$mnt/large"
stop_mount "$mnt"
check_clean "$whole"

claim_class dirent inode
claim_class dirent inode folder
claim_class orphan name
claim_class orphan name folder
claim_class orphan name link
claim_class "link count" links
claim_class "link count" links folder
claim_class orphan orphan
claim_class orphan recorded small
claim_class size size
claim_class size size small
claim_class size size link
claim_class counter counter

# A byte of every table, at both ends and at random places.
for table in $(tables "$whole"); do
	name=${table#"$whole"}
	size=$(stat -c %s "$table")
	for offset in 0 70 $((seed % size)) $((seed / 7 % size)) -1; do
		copy_store "$whole" "$store"
		"$tools/damage" flip "$store$name" "$offset"
		before=$(fingerprint "$store")
		code=0
		shalefs check "$store" >"$scratch/check.out" 2>&1 || code=$?
		cat "$scratch/check.out" >>"$scratch/flips.out"
		[ "$code" -eq 1 ] ||
			fail "byte $offset of $name: check exits with $code"
		grep -qF "$(basename "$name")" "$scratch/check.out" || {
			cat "$scratch/check.out"
			fail "byte $offset of $name: the file is not named"
		}
		[ "$(fingerprint "$store")" = "$before" ] ||
			fail "check writes"
	done
done
claim "damaged blocks are of the class checksum" \
	grep -q '^checksum: ' "$scratch/flips.out"
say "ok: a flipped byte in any table is found:" \
	"$(head -n 1 "$scratch/flips.out")"

# Two faults at once are both named.
copy_store "$whole" "$store"
"$tools/damage" links "$store" small
"$tools/damage" size "$store" file
claim_found "link count"
claim_found size

check_clean "$whole" "what was copied from is whole"
kit_end
