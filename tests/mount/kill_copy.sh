#!/bin/sh
# SPDX-License-Identifier: MIT
# kill_copy.sh: the daemon is killed in the middle of a copy that is made file
# by file; every file whose cp had returned is whole afterwards.
# SHALEFS_TREE: a folder to copy instead of the one that is made here.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
copied=$scratch/copied # names, each noted outside after its cp had returned
files=2000
least=200

# Until a cp fails, which it does when the daemon is dead.
copy_file_by_file() {
	(cd "$tree" && find . -type d -print0) |
		(cd "$mnt/copy" && xargs -0 mkdir -p) || return 0
	(cd "$tree" && find . -type f ! -name '*
*') | sort | while IFS= read -r name; do
		cp -p -- "$tree/$name" "$mnt/copy/$name" 2>/dev/null || break
		printf '%s\n' "$name" >>"$copied"
	done
}

has_copied() {
	[ -e "$copied" ] && [ "$(wc -l <"$copied")" -ge "$1" ]
}

claim_all_whole() {
	bad=0
	while IFS= read -r name; do
		cmp -s -- "$tree/$name" "$mnt/copy/$name" && continue
		say "not whole: $name"
		bad=$((bad + 1))
	done <"$copied"
	[ "$bad" -eq 0 ] || fail "$1: $bad files are not whole"
	say "ok: $1: all $(wc -l <"$copied") files whose cp had returned are" \
		whole
}

if [ -n "${SHALEFS_TREE:-}" ]; then
	tree=$SHALEFS_TREE
else
	tree=$scratch/tree
	"$tools/make_tree" "$tree" "$files" "$seed"
fi

shalefs mkfs "$store"
start_mount "$store" "$mnt" memory=32M,credit=2M
mkdir "$mnt/copy"
copy_file_by_file &
copier=$!
goal=$((least + seed % 500))
wait_until "$goal files are copied" has_copied "$goal"
kill_daemon "$mnt"
wait "$copier" || fail "the copy failed otherwise"
claim_fails "the dead mount answers no more" ls "$mnt"
check_clean "$store" "check is clean after the kill"

claim "mount detaches the dead mount and mounts again" \
	shalefs mount "$store" "$mnt"
claim_number "it is mounted once" "$(kit_list_mounts | wc -l)" -eq 1
claim_all_whole "after the kill"
claim "the copy can be made whole" cp -a "$tree/." "$mnt/copy"
claim "it is" diff -r --no-dereference -x special "$tree" "$mnt/copy"
claim "the background daemon is unmounted" shalefs umount "$mnt"
check_clean "$store"
kit_end
