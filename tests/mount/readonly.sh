#!/bin/sh
# SPDX-License-Identifier: MIT
# readonly.sh: a mount with -o ro changes nothing, neither in the tree nor on
# the disk; a store in a folder that cannot be written is refused without it.
. "$(dirname "$0")/mount_kit.sh"

# What needs root is done in a mount namespace of its own, so that it is gone
# with this test.
if [ "$(id -u)" -eq 0 ] && [ "${SHALEFS_IN_NAMESPACE:-}" != "$$" ]; then
	exec env SHALEFS_IN_NAMESPACE=$$ unshare -m --propagation private \
		/bin/sh "$0"
fi
kit_begin

store=$scratch/store
mnt=$scratch/mnt

# The socket comes and goes in the folder itself.
everything_but_sockets() {
	(cd "$1" && find . -mindepth 1 ! -type s \
		-printf '%y %m %u %s %n %T@ %p\n' | sort)
	fingerprint "$1"
}

shalefs mkfs "$store"
start_mount "$store" "$mnt"
echo contents >"$mnt/file"
setfattr -n user.a -v b "$mnt/file"
head -c 1000000 /dev/urandom >"$mnt/large"
mkdir "$mnt/folder"
ln -s file "$mnt/link"
cp -a "$mnt/." "$scratch/contents"
# A log that was not flushed: ro has to replay it, in memory.
kill_daemon "$mnt"
kit_detach "$mnt"
rm -f "$store/control.sock"
everything_but_sockets "$store" >"$scratch/before"

# ---- -o ro -------------------------------------------------------------------

refuses() {
	kit_text=$1
	shift
	! "$@" >/dev/null 2>"$scratch/refused" || fail "ro allows $kit_text"
	grep -q "Read-only file system" "$scratch/refused" ||
		fail "$kit_text: $(cat "$scratch/refused")"
	say "ok: ro refuses $kit_text"
}

start_mount "$store" "$mnt" ro
claim "ro shows what is there" diff -r --no-dereference \
	"$scratch/contents" "$mnt"
refuses "a new file" touch "$mnt/new"
refuses "a new folder" mkdir "$mnt/new"
refuses "a write" sh -c "echo x >'$mnt/file'"
refuses "an append" sh -c "echo x >>'$mnt/file'"
refuses "a truncation" truncate -s 0 "$mnt/file"
refuses "a removal" rm -f "$mnt/file"
refuses "a removal of a folder" rmdir "$mnt/folder"
refuses "a rename" mv "$mnt/file" "$mnt/file2"
refuses "a link" ln "$mnt/file" "$mnt/file2"
refuses "a symlink" ln -s x "$mnt/file2"
refuses "a mode" chmod 600 "$mnt/file"
refuses "a time" touch -d 2000-01-01 "$mnt/file"
refuses "an xattr" setfattr -n user.b -v c "$mnt/file"
claim "an xattr can be read" getfattr -n user.a "$mnt/file"
start_mount "$store" "$scratch/mnt2" ro
claim "two read-only mounts at once" cmp "$mnt/large" "$scratch/mnt2/large"
claim_refused "a writable one beside them is refused" "$store" "in use" \
	shalefs mount "$store" "$scratch/contents"
claim "stats of a read-only mount" shalefs stats "$mnt"
stop_mount "$scratch/mnt2"
stop_mount "$mnt"
everything_but_sockets "$store" >"$scratch/after"
claim "nothing has changed on the disk" cmp "$scratch/before" "$scratch/after"
check_clean "$store"
everything_but_sockets "$store" >"$scratch/after"
claim "check changes nothing either" cmp "$scratch/before" "$scratch/after"
shalefs stats "$store" >/dev/null
everything_but_sockets "$store" >"$scratch/after"
claim "nor does stats" cmp "$scratch/before" "$scratch/after"

# An empty store: nothing to read, and nothing made.
shalefs mkfs "$scratch/new"
everything_but_sockets "$scratch/new" >"$scratch/before2"
start_mount "$scratch/new" "$mnt" ro
claim "an empty store has an empty root" test -z "$(ls -A "$mnt")"
stop_mount "$mnt"
everything_but_sockets "$scratch/new" >"$scratch/after"
claim "and stays as it is" cmp "$scratch/before2" "$scratch/after"

# ---- a folder that cannot be written -----------------------------------------

if [ "$(id -u)" -eq 0 ]; then
	mount --bind "$store" "$store"
	mount -o remount,bind,ro "$store"
	reason="read-only"
else
	chmod -R a-w "$store"
	reason="permission denied"
fi
claim_refused "a read-only folder is refused without ro" "$store" "$reason" \
	shalefs mount "$store" "$mnt"
claim_refused "also by fork" "$store" "$reason" \
	shalefs fork "$store" "$scratch/fork"
claim_fails "nothing was made" test -e "$scratch/fork"
claim "with ro it is mounted" shalefs mount -o ro "$store" "$mnt"
claim "and shows what is there" diff -r --no-dereference \
	"$scratch/contents" "$mnt"
claim "and is unmounted" shalefs umount "$mnt"
check_clean "$store"
if [ "$(id -u)" -eq 0 ]; then
	umount "$store"
else
	chmod -R u+w "$store"
fi
everything_but_sockets "$store" >"$scratch/after"
[ "$(id -u)" -ne 0 ] ||
	claim "nothing has changed" cmp "$scratch/before" "$scratch/after"
start_mount "$store" "$mnt"
claim "a writable mount goes on from there" sh -c "echo more >>'$mnt/file'"
stop_mount "$mnt"
check_clean "$store"
kit_end
