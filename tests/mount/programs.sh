#!/bin/sh
# SPDX-License-Identifier: MIT
# programs.sh: programs that people use work in a mount: git, sqlite3, make,
# gcc, tar, rsync, cp, editors; and this project is built in it.
. "$(dirname "$0")/mount_kit.sh"
kit_begin
kit_need_tools git sqlite3 rsync tar gcc make autoreconf

store=$scratch/store
mnt=$scratch/mnt
home=$scratch/home
mkdir "$home"
HOME=$home
GIT_CONFIG_NOSYSTEM=1
export HOME GIT_CONFIG_NOSYSTEM
unset MAKEFLAGS MAKELEVEL MFLAGS GIT_DIR || :

shalefs mkfs "$store"
start_mount "$store" "$mnt" memory=64M
mkdir "$mnt/project"
# What is in the repository: without what a build left there.
for file in engine src tests docs mount-helpers configure.ac Makefile.am \
	LICENSE README.md bootstrap.sh .clang-format .gitignore .ci; do
	[ ! -e "$top_srcdir/$file" ] ||
		cp -a "$top_srcdir/$file" "$mnt/project/"
done
# Of make distcheck they are read-only.
chmod -R u+w "$mnt/project"

# ---- git ---------------------------------------------------------------------

cp -a "$mnt/project" "$mnt/repo"
cd "$mnt/repo"
rm -f .gitignore
claim "git init" git init -q .
git config user.name Nobody
git config user.email nobody@example.com
claim "git add -A" git add -A
claim "git commit" git commit -q -m "first"
claim "git fsck" git fsck --strict --full
echo "a change" >>LICENSE
claim "git commit of a change" git commit -q -a -m "second"
claim "git gc" git gc -q
claim "git checkout of the first" git checkout -q HEAD~1
claim "git status is clean" test -z "$(git status --porcelain)"
claim "git clone" git clone -q "$mnt/repo" "$mnt/clone"
claim "git fsck of the clone" git -C "$mnt/clone" fsck --strict --full
cd "$scratch"

# ---- sqlite3 -----------------------------------------------------------------

# 10,000 inserts: in transactions of 20, each of which syncs.
make_inserts() {
	awk -v mode="$1" 'BEGIN {
		print "pragma journal_mode=" mode ";"
		print "create table t (id integer primary key, text blob);"
		print "create index by_text on t (text);"
		for (i = 1; i <= 10000; i++) {
			if (i % 20 == 1)
				print "begin;"
			printf "insert into t values (%d, randomblob(%d));\n",
				i, i % 300
			if (i % 20 == 0)
				print "commit;"
		}
	}'
}

for mode in delete wal; do
	make_inserts "$mode" >"$scratch/$mode.sql"
	claim "sqlite3 makes 10,000 inserts, journal_mode=$mode" \
		sqlite3 -bail "$mnt/$mode.db" ".read $scratch/$mode.sql"
	claim "its integrity_check is ok ($mode)" test \
		"$(sqlite3 "$mnt/$mode.db" 'pragma integrity_check')" = ok
	claim "all are there ($mode)" test \
		"$(sqlite3 "$mnt/$mode.db" 'select count(*) from t')" = 10000
done

# ---- small tools -------------------------------------------------------------

# What an editor does to save: write beside, sync, rename over.
save() {
	printf '%s\n' "$2" >"$1.new"
	sync "$1.new"
	mv "$1.new" "$1"
}
i=0
while [ "$i" -lt 50 ]; do
	i=$((i + 1))
	save "$mnt/edited" "version $i"
done
claim "a file saved 50 times has the last contents" \
	test "$(cat "$mnt/edited")" = "version 50"

cat >"$mnt/hello.c" <<'END'
#include <stdio.h>
int main(void) { return puts("hello") < 0; }
END
claim "gcc compiles" gcc -O1 -g "$mnt/hello.c" -o "$mnt/hello"
claim "what it made runs from the mount" test "$("$mnt/hello")" = hello

claim "tar packs and unpacks inside" sh -c \
	"tar -C '$mnt/project' -czf '$mnt/p.tgz' . && mkdir '$mnt/unpacked' &&
	tar -C '$mnt/unpacked' -xzf '$mnt/p.tgz'"
claim "the same came out" diff -r "$mnt/project" "$mnt/unpacked"
claim "rsync -a inside" rsync -a "$mnt/unpacked/" "$mnt/synced/"
claim "rsync finds nothing to do" test -z \
	"$(rsync -ani --delete "$mnt/unpacked/" "$mnt/synced/")"

truncate -s 50M "$mnt/sparse"
printf end | dd of="$mnt/sparse" bs=1 seek=30000000 conv=notrunc status=none
claim "cp --sparse=always" cp --sparse=always "$mnt/sparse" "$mnt/sparse2"
claim "the copy is the same" cmp "$mnt/sparse" "$mnt/sparse2"
claim_number "and as sparse" "$(stat -c %b "$mnt/sparse2")" -le 256

claim "find counts what ls does" test \
	"$(find "$mnt/project" | wc -l)" -eq \
	"$(($(ls -AR "$mnt/project" | grep -cv -e '^$' -e ':$') + 1))"
used=$(du -s -B1 "$mnt/sparse2" | cut -f1)
claim_number "du is the sum of blocks" "$used" -eq \
	$(($(stat -c %b "$mnt/sparse2") * 512))
head -c 3000000 /dev/urandom >"$mnt/noise"
claim "a file larger than any request is read back" sh -c \
	"cp '$mnt/noise' '$scratch/noise' && cmp '$mnt/noise' '$scratch/noise'"
claim "sort -u in place" sh -c \
	"seq 5000 -1 1 >'$mnt/n' && sort -n -o '$mnt/n' '$mnt/n' &&
	seq 5000 | cmp - '$mnt/n'"

# ---- this project ------------------------------------------------------------

cd "$mnt/project"
claim "autoreconf" autoreconf -fi
mkdir "$mnt/build"
cd "$mnt/build"
claim "configure" "$mnt/project/configure" -q CFLAGS=-O0
claim "make" make -s -j2 shalefs
claim "the program built in the mount runs" ./shalefs --version
claim "it makes a store there" ./shalefs mkfs "$mnt/inner"
claim "and checks it" ./shalefs check "$mnt/inner"
cd "$scratch"

stop_mount "$mnt"
check_clean "$store"
start_mount "$store" "$mnt"
claim "git fsck after a new mount" git -C "$mnt/repo" fsck --strict --full
for mode in delete wal; do
	claim "integrity_check after a new mount ($mode)" test \
		"$(sqlite3 "$mnt/$mode.db" 'pragma integrity_check')" = ok
done
stop_mount "$mnt"
kit_end
