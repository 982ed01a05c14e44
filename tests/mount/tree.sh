#!/bin/sh
# SPDX-License-Identifier: MIT
# tree.sh: a tree of files of every sort, copied in with cp and with tar, cannot
# be told from the one it was copied from; nor after a new mount.
# SHALEFS_TREE: a folder to copy instead of the one that is made here.
. "$(dirname "$0")/mount_kit.sh"
kit_begin
kit_need_tools rsync tar diff

store=$scratch/store
mnt=$scratch/mnt
files=5000

count_files() {
	find "$1" ! -type d | wc -l
}

# No line from any of them, and no difference in what they compare: names,
# types, contents, modes, owners, times, hard links, xattrs.
claim_same() {
	claim "$2: diff finds no difference" \
		diff -r --no-dereference -x special "$tree" "$1"
	rsync -nacHX --delete --itemize-changes "$tree/" "$1/" \
		>"$scratch/rsync.out" || fail "$2: rsync"
	head -n 20 "$scratch/rsync.out"
	[ ! -s "$scratch/rsync.out" ] || fail "$2: rsync finds differences"
	say "ok: $2: rsync -nacHX --delete finds no difference"
}

# The same holes, as far as whole blocks go.
claim_sparse() {
	kit_file=$(find "$tree" -type f -size +16M -print -quit)
	[ -n "$kit_file" ] || return 0
	kit_copy=$1${kit_file#"$tree"}
	claim_number "a sparse file takes few blocks" \
		"$(stat -c %b "$kit_copy")" -lt 4096
}

if [ -n "${SHALEFS_TREE:-}" ]; then
	tree=$SHALEFS_TREE
else
	tree=$scratch/tree
	"$tools/make_tree" "$tree" "$files" "$seed"
fi
number=$(count_files "$tree")
claim_number "the tree has enough files" "$number" -ge "$files"

shalefs mkfs "$store"
start_mount "$store" "$mnt" memory=64M
began=$(date +%s)
claim "cp -a copies it in" cp -a "$tree" "$mnt/cp"
say "cp -a took $(($(date +%s) - began)) s for $number files"
mkdir "$mnt/tar"
tar -C "$tree" --format=posix --xattrs -S -cf "$scratch/tree.tar" .
claim "tar x unpacks it" tar -C "$mnt/tar" --xattrs --xattrs-include='*' \
	-xpf "$scratch/tree.tar"
claim_same "$mnt/cp" "cp -a"
claim_same "$mnt/tar" "tar x"
claim_sparse "$mnt/cp"

stop_mount "$mnt"
start_mount "$store" "$mnt" memory=64M
claim_same "$mnt/cp" "cp -a, mounted again"
claim_same "$mnt/tar" "tar x, mounted again"
claim_number "every file is listed" "$(count_files "$mnt/cp")" -eq "$number"

claim "half of it is removed" rm -rf "$mnt/tar"
stop_mount "$mnt"
check_clean "$store"
start_mount "$store" "$mnt"
claim_same "$mnt/cp" "cp -a, beside what was removed"
claim_fails "what was removed is gone" test -e "$mnt/tar"
stop_mount "$mnt"
kit_end
