#!/bin/sh
# SPDX-License-Identifier: MIT
# unprivileged.sh: whoever may open /dev/fuse can do all of it: mkfs, mount,
# copy, fork, umount, by way of fusermount3. As root this runs as nobody, with a
# /dev/fuse of its own in a mount namespace of its own.
. "$(dirname "$0")/mount_kit.sh"
kit_need_tools fusermount3

# The program, its tools and a place to work, where nobody can reach them.
prepare_as_root() {
	outside=$(mktemp -d "${TMPDIR:-/tmp}/shalefs-nobody.XXXXXX")
	mkdir -p "$outside/tests/mount" "$outside/tmp"
	cp "$program" "$outside/shalefs"
	cp "$tools/json_figure" "$kit_dir/mount_kit.sh" "$0" \
		"$outside/tests/mount/"
	mknod -m 666 "$outside/fuse" c 10 229
	chmod 755 "$outside"
	chown -R nobody "$outside/tmp"
	unshare -m --propagation private /bin/sh -c '
		mount --bind "$1/fuse" /dev/fuse &&
		cd "$1/tmp" &&
		exec runuser -u nobody -- env TMPDIR="$1/tmp" HOME="$1/tmp" \
			SHALEFS="$1/shalefs" BUILDDIR="$1" \
			/bin/sh "$1/tests/mount/$2"
		' sh "$outside" "$(basename "$0")"
	rm -rf "$outside"
}

if [ "$(id -u)" -eq 0 ]; then
	kit_need_fuse
	[ -x "$program" ] || fail "no program at $program"
	prepare_as_root
	exit 0
fi
kit_begin

store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"
claim "mkfs" shalefs mkfs "$store"
claim "mount" shalefs mount "$store" "$mnt"
claim "the root belongs to who made it" test -O "$mnt"
cp -a "$kit_dir/mount_kit.sh" "$mnt/kit"
mkdir "$mnt/folder"
head -c 500000 /dev/urandom >"$mnt/folder/noise"
claim "a copy is the same" cmp "$kit_dir/mount_kit.sh" "$mnt/kit"
claim_fails "chown to another is refused" chown root "$mnt/kit"
claim_fails "a device is refused" mknod "$mnt/device" c 1 3
claim "fork of the mount" shalefs fork "$mnt" "$scratch/fork"
claim "stats of the mount" test "$(figure "$mnt" mounted)" = true
claim_refused "allow_other needs user_allow_other" "$scratch/othermnt" \
	"allow_other" sh -c "mkdir -p '$scratch/othermnt' &&
	! grep -q '^user_allow_other' /etc/fuse.conf 2>/dev/null &&
	exec '$program' mount -o allow_other \
		'$scratch/fork' '$scratch/othermnt'"
cd "$mnt"
claim_refused "a busy mount is not unmounted" "$mnt" "in use" \
	shalefs umount "$mnt"
cd "$scratch"
claim "umount" shalefs umount "$mnt"
claim "LOCK is free then" flock -n "$store/LOCK" true
check_clean "$store"
check_clean "$scratch/fork" "and none in the fork"

start_mount "$scratch/fork" "$mnt"
claim "the fork has the same" cmp "$kit_dir/mount_kit.sh" "$mnt/kit"
kill_daemon "$mnt"
claim "a dead mount is mounted again" shalefs mount "$scratch/fork" "$mnt"
claim "with the same" cmp "$kit_dir/mount_kit.sh" "$mnt/kit"
claim "and unmounted" shalefs umount "$mnt"

start_mount "$store" "$mnt"
kill -TERM "$(daemon_pid "$mnt")"
kit_reap "$(daemon_pid "$mnt")"
rm "$(kit_pid_file "$mnt")"
claim_number "SIGTERM ends the daemon with 0" "$kit_code" -eq 0
claim_fails "and its mount" is_mounted "$mnt"
check_clean "$store"
kit_end
