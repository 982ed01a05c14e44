#!/bin/sh
# SPDX-License-Identifier: MIT
# set_id.sh: set-id bits go when somebody else changes a file, and when it gets
# another owner; the kernel leaves that to the daemon.
. "$(dirname "$0")/mount_kit.sh"
kit_need_root "the test of set-id bits"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
shalefs mkfs "$store"
start_mount "$store" "$mnt" allow_other,suid
cd "$mnt"

as_nobody() {
	runuser -u nobody -- "$@"
}

# claim_mode TEXT BEFORE AFTER COMMAND...: of the file f.
claim_mode() {
	kit_before=$2
	kit_after=$3
	kit_what=$1
	shift 3
	rm -f f
	head -c 10000 /dev/zero >f
	chmod "$kit_before" f
	"$@" || fail "$kit_what: $*"
	claim "$kit_what" test "$(stat -c %a f)" = "$kit_after"
}

claim_mode "a write by another drops them" 6777 777 \
	as_nobody sh -c 'echo x >>f'
claim_mode "by who is not in the group, what means nothing too" 6767 767 \
	as_nobody sh -c 'echo x >>f'
claim_mode "a write by root leaves them" 6777 6777 sh -c 'echo x >>f'
claim_mode "truncate(2) by another drops them" 6777 777 \
	as_nobody truncate -s 5 f
claim_mode "O_TRUNC too" 6777 777 as_nobody sh -c ': >f'
claim_mode "root may" 6777 6777 truncate -s 5 f
claim_mode "punching a hole drops them" 6777 777 \
	as_nobody fallocate -p -o 0 -l 4096 f
claim_mode "reserving too" 6777 777 as_nobody fallocate -l 20000 f
head -c 5000 /dev/zero >from
claim_mode "copying into it too" 6777 777 \
	as_nobody "$tools/one_call" copy from f 5000
claim_mode "a new owner costs both, also from root" 6755 755 chown nobody f
claim_mode "a new group too" 6755 755 chgrp nogroup f
claim_mode "chown(2) to nobody in particular too" 6755 755 chown : f
claim_mode "a change of times does not" 6755 6755 touch f

mkdir d
chmod 6755 d
chown nobody d
claim "a folder keeps them" test "$(stat -c %a d)" = 6755

# The kernel has the mode in memory and must not go by it. Nothing asks for the
# attributes between the write and the run.
cp "$(command -v id)" id
chmod 4777 id
claim "the program runs as root" test "$(as_nobody ./id -u)" = 0
as_nobody sh -c 'echo x >>id'
claim "after a write it does not, even before anybody looks at its mode" \
	test "$(as_nobody ./id -u)" = "$(id -u nobody)"
cd "$scratch"
stop_mount "$mnt"
check_clean "$store"
kit_end
