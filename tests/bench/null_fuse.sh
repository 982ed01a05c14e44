#!/bin/sh
# SPDX-License-Identifier: MIT
# null_fuse.sh: the filesystem that the bench takes as the floor does what its
# workloads ask of it: what was written is read, listed, renamed and removed.
. "$(dirname "$0")/../mount/mount_kit.sh"
kit_begin
kit_need_tools git diff

null=$builddir/tests/bench/null_fuse
mnt=$scratch/mnt
tree=$scratch/tree

claim_fails "a missing folder is refused" "$null" -f "$scratch/none"

mkdir "$mnt"
"$null" -f "$mnt" >"$scratch/null.log" 2>&1 &
null_pid=$!
echo "$null_pid" >"$(kit_pid_file "$mnt")"
wait_until "it is mounted" mountpoint -q "$mnt"

mkdir "$tree"
cp -a "$top_srcdir/src" "$top_srcdir/docs" "$tree/"
chmod -R u+w "$tree"
ln -s src/fs/fs.h "$tree/link"
ln "$tree/src/fs/fs.h" "$tree/second"
head -c 3000000 /dev/urandom >"$tree/big"
cp -a "$tree" "$mnt/copy"
claim "a copied tree is the same" diff -r --no-dereference "$tree" "$mnt/copy"
claim_number "two names of a file are one inode" \
	"$(stat -c %h "$mnt/copy/second")" -eq 2
claim "times and modes are kept" test "$(stat -c '%Y %a' "$tree/big")" = \
	"$(stat -c '%Y %a' "$mnt/copy/big")"

cd "$mnt"
mv copy/src moved
claim_fails "a renamed folder has left its name" ls copy/src
claim "and has the other" diff -r "$tree/src" moved
echo one >a
echo two >b
mv -T a b
claim "a rename replaces" test "$(cat b)" = one
claim_fails "a folder with files is not removed" rmdir moved
: >sparse
truncate -s 1000000 sparse
printf x | dd of=sparse bs=1 seek=200000 conv=notrunc status=none
truncate -s 200001 sparse
truncate -s 300000 sparse
claim_number "what was cut off is zero" \
	"$(tr -d '\0' <sparse | wc -c)" -eq 1
yes line | head -n 1000 >>b
claim_number "what is appended follows" "$(wc -l <b)" -eq 1001

git init -q repo
cp -R "$tree/docs" repo/
claim "git adds" git -C repo add -A
claim "git finds no fault" git -C repo fsck --strict
claim_number "a listing has each name once" \
	"$(find moved | sort | uniq -d | wc -l)" -eq 0
rm -rf moved copy repo sparse a b
claim_number "nothing is left" "$(ls -A . | wc -l)" -eq 0
cd /

umount "$mnt"
kit_reap "$null_pid"
rm -f "$(kit_pid_file "$mnt")"
claim_number "it ends when it is unmounted" "$kit_code" -eq 0
kit_end
