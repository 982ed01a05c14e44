#!/bin/sh
# SPDX-License-Identifier: MIT
# posix.sh: what POSIX and Linux promise of a filesystem: tests/mount/posix_*.c
# in a mount; what others may do there; what of an unlinked open file comes
# back, also after a crash. Where the scratch folder is on ext4, some of the
# programs run there too, to show that what they claim is so.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt

used() {
	figure "$mnt" fs.used_bytes
}

uses_at_most() {
	[ "$(used)" -le "$1" ]
}

files_at_most() {
	[ "$(figure "$mnt" fs.files)" -le "$1" ]
}

# What was unlinked is reclaimed in the background.
only_named_files() {
	[ "$(figure "$mnt" fs.files)" -eq \
		"$(find "$mnt" -printf '%i\n' | sort -u | wc -l)" ]
}

# 8 MiB in a file that is open and has no name.
hold_unlinked() {
	head -c 8388608 /dev/urandom >"$mnt/victim"
	claim_number "its bytes are counted" "$(used)" -ge $((base + 8388608))
	"$tools/one_call" hold "$mnt/victim" >"$scratch/hold.out" &
	holder=$!
	wait_until "it is held open" test -s "$scratch/hold.out"
	rm "$mnt/victim"
	claim_number "they still are while it is open" "$(used)" \
		-ge $((base + 8388608))
}

let_go() {
	kill "$holder"
	wait "$holder" 2>/dev/null || :
	rm "$scratch/hold.out"
}

# ---- as one user -------------------------------------------------------------

shalefs mkfs "$store"
start_mount "$store" "$mnt"
for program_name in posix_names posix_data posix_files posix_attrs posix_errors \
	posix_lives posix_times; do
	mkdir "$mnt/$program_name"
	wait_until "what was unlinked is gone" only_named_files
	"$tools/$program_name" "$mnt/$program_name" ||
		fail "claims of $program_name do not hold"
done

# do_as_ext4 PROGRAM: what it claims of a mount holds on ext4 too.
do_as_ext4() {
	[ "$(stat -f -c %T "$scratch")" = ext2/ext3 ] || return 0
	mkdir "$scratch/$1"
	claim "$1 claims what ext4 does" "$tools/$1" "$scratch/$1"
}

for program_name in posix_errors posix_lives posix_times; do
	do_as_ext4 "$program_name"
done

# statfs says what the daemon knows.
wait_until "what was unlinked is gone" only_named_files
claim "df shows the inodes in use" test \
	"$(($(stat -f -c '%c - %d' "$mnt")))" -eq "$(figure "$mnt" fs.files)"
stop_mount "$mnt"
check_clean "$store"

# ---- atime --------------------------------------------------------------------

start_mount "$store" "$mnt" noatime
echo text >"$mnt/read"
mkdir "$mnt/listed"
touch -a -d @1000 "$mnt/read" "$mnt/listed"
stop_mount "$mnt"
start_mount "$store" "$mnt" noatime
cat "$mnt/read" >"$scratch/out"
ls "$mnt/listed"
claim "with noatime reading moves no atime" test \
	"$(stat -c %X "$mnt/read" "$mnt/listed" | tr '\n' ' ')" = "1000 1000 "
stop_mount "$mnt"
start_mount "$store" "$mnt" nodiratime
cat "$mnt/read" >"$scratch/out"
ls "$mnt/listed"
claim "with nodiratime listing moves none" test \
	"$(stat -c %X "$mnt/listed")" = 1000
claim_number "but reading does" "$(stat -c %X "$mnt/read")" -gt 1000
stop_mount "$mnt"
start_mount "$store" "$mnt"
ls "$mnt/listed"
claim_number "without both listing does too" \
	"$(stat -c %X "$mnt/listed")" -gt 1000
rm -r "$mnt/read" "$mnt/listed"
stop_mount "$mnt"

# ---- unlinked and open -------------------------------------------------------

start_mount "$store" "$mnt"
base=$(used)
number=$(figure "$mnt" fs.files)
hold_unlinked
let_go
wait_until "its bytes are free" uses_at_most "$base"
say "ok: the last close frees an unlinked file"
wait_until "its inode is free" files_at_most "$number"

hold_unlinked
kill_daemon "$mnt"
let_go
check_clean "$store" "check is clean with an orphan of a crash"
start_mount "$store" "$mnt"
wait_until "its bytes are free" uses_at_most "$base"
wait_until "its inode is free" files_at_most "$number"
say "ok: the next mount frees what a crash left"
stop_mount "$mnt"
check_clean "$store"

# ---- as another user ---------------------------------------------------------

if [ "$(id -u)" -ne 0 ]; then
	say "other users: left out, which needs root"
	kit_end
	exit 0
fi
as_nobody() {
	runuser -u nobody -- "$@"
}

start_mount "$store" "$mnt"
claim_fails "without allow_other others see nothing" as_nobody ls "$mnt"
stop_mount "$mnt"

start_mount "$store" "$mnt" allow_other
mkdir "$mnt/posix_owners"
"$tools/posix_owners" "$mnt/posix_owners" ||
	fail "claims of posix_owners do not hold"
do_as_ext4 posix_owners
cd "$mnt"
echo open >open
echo secret >secret
chmod 600 secret
mkdir private shared sticky
chmod 700 private
chmod 777 shared
chmod 1777 sticky
echo mine >sticky/mine
echo x >private/x
claim "with it they read what is open to all" as_nobody cat open
claim_fails "and not what is not" as_nobody cat secret
claim_fails "nor write it" as_nobody sh -c 'echo x >open'
claim_fails "nor look into a private folder" as_nobody ls private
claim_fails "nor reach what is in it" as_nobody cat private/x
claim_fails "nor make files in a folder of others" as_nobody touch new
claim "they make files where they may" as_nobody sh -c 'echo hers >shared/f'
claim "these are theirs" test "$(stat -c %U shared/f)" = nobody
claim_fails "they do not change modes of others' files" \
	as_nobody chmod 777 open
claim_fails "nor owners of their own" as_nobody chown root shared/f
claim_fails "in a sticky folder they remove nothing of others" \
	as_nobody rm -f sticky/mine
claim "access(2) agrees" as_nobody test -r open -a ! -r secret -a ! -w open
chmod 4755 shared/f
as_nobody sh -c 'echo more >>shared/f'
claim "a write by its owner drops set-user-id" \
	test "$(stat -c %a shared/f)" = 755
cd "$scratch"
stop_mount "$mnt"
check_clean "$store"
kit_end
