#!/bin/sh
# SPDX-License-Identifier: MIT
# served.sh: operations that the kernel or libc would otherwise imitate reach
# the daemon: it counts each request, and what it did is right.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
shalefs mkfs "$store"
start_mount "$store" "$mnt"
cd "$mnt"
one=$tools/one_call

# claim_served NAME COUNT COMMAND...: the command makes the daemon's counter of
# NAME go up by COUNT.
claim_served() {
	kit_request=$1
	kit_wanted=$2
	shift 2
	kit_before=$(figure "$mnt" "requests.$kit_request")
	"$@" >"$scratch/served.out" 2>&1 || {
		cat "$scratch/served.out"
		fail "$*"
	}
	kit_after=$(figure "$mnt" "requests.$kit_request")
	claim_number "$kit_request is served for '$(basename "$1") $2'" \
		$((kit_after - kit_before)) -eq "$kit_wanted"
}

claim_printed() {
	[ "$(cat "$scratch/served.out")" = "$1" ] ||
		fail "printed $(cat "$scratch/served.out"), not $1"
}

yes 'some bytes of a line' | head -c 1048576 >file
: >new
claim_served FALLOCATE 1 "$one" reserve new 0 200000
claim_number "reserve gave the size" "$(stat -c %s new)" -eq 200000
claim_served FALLOCATE 1 "$one" punch file 65536 131072
claim "the hole reads as zeros" \
	cmp -n 131072 -i 65536:0 file /dev/zero
claim_number "the size stayed" "$(stat -c %s file)" -eq 1048576
claim_served FALLOCATE 1 "$one" zero file 900000 1000
claim "the range reads as zeros" cmp -n 1000 -i 900000:0 file /dev/zero
claim_served FALLOCATE 1 fallocate -p -o 0 -l 4096 file

claim_served LSEEK 1 "$one" data file 65536
claim_printed 196608
claim_served LSEEK 1 "$one" hole file 8192
claim_printed 65536

echo one >a
echo two >b
claim_served RENAME2 1 "$one" exchange a b
claim "the two are exchanged" test "$(cat a b)" = "two
one"
claim_served RENAME2 1 "$one" noreplace a c
claim "it has the new name" test "$(cat c)" = two
claim_fails "noreplace does not replace" "$one" noreplace c b
claim "both are as they were" test "$(cat b c)" = "one
two"

claim_served COPY_FILE_RANGE 1 "$one" copy file copy 1000000
claim "the copy has the same bytes" cmp -n 1000000 file copy
kit_before=$(figure "$mnt" requests.READ)
"$one" copy file copy2 1000000
claim_number "and none of them went through the kernel" \
	"$(figure "$mnt" requests.READ)" -eq "$kit_before"

claim_served FSYNC 1 sync -d file
claim_served FSYNCDIR 1 sync .
claim_served LINK 1 ln file hard
claim_served SYMLINK 1 ln -s file soft
claim_served READLINK 1 readlink soft
claim_served MKNOD 1 mkfifo fifo
claim_served SETXATTR 1 setfattr -n user.a -v b file
claim_served REMOVEXATTR 1 setfattr -x user.a file
claim_served STATFS 1 stat -f .

# Write-through: each write(2) of a page is a request of its own.
claim_served WRITE 100 dd if=/dev/zero of=written bs=4096 count=100 status=none

# open, opendir and flush are answered once with "not needed".
cat file copy >/dev/null
ls -R . >/dev/null
claim_served OPEN 0 cat file copy copy2
claim_served OPENDIR 0 ls -R .
claim_served FLUSH 0 cp file another

cd "$scratch"
stop_mount "$mnt"
check_clean "$store"
kit_end
