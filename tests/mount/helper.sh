#!/bin/sh
# SPDX-License-Identifier: MIT
# helper.sh: once installed, mount -t shalefs and a line of fstab work. It is
# installed into a scratch folder, which in a mount namespace of this test's own
# then lies over the folders where mount(8) looks. Needs root.
. "$(dirname "$0")/mount_kit.sh"
kit_need_fuse
kit_need_root "mount(8) in a namespace of its own"
if [ "${SHALEFS_IN_NAMESPACE:-}" != "$$" ]; then
	exec env SHALEFS_IN_NAMESPACE=$$ unshare -m --propagation private \
		/bin/sh "$0"
fi
kit_begin

store=$scratch/store
mnt=$scratch/mnt
root=$scratch/root
mkdir "$mnt"

# ---- install -----------------------------------------------------------------

unset MAKEFLAGS MAKELEVEL MFLAGS || :
claim "make install DESTDIR=" \
	make -s -C "$builddir" install DESTDIR="$root"
helper=$(find "$root" -name mount.shalefs -type f)
bindir=$(dirname "$(find "$root" -name shalefs -type f -perm -u+x)")
claim "the program is installed" test -x "$bindir/shalefs"
claim "the helper is installed where mount(8) looks" test -x "$helper"
claim "the manual pages are" test -n "$(find "$root" -name shalefs.1)" -a \
	-n "$(find "$root" -name mount.shalefs.8)"

# lay_over FOLDER NAME FILE: the folder as it is, with FILE in it as NAME.
lay_over() {
	made= # the first folder of its path that is not there
	kit_folder=$1
	while [ ! -d "$kit_folder" ]; do
		made=$kit_folder
		kit_folder=$(dirname "$kit_folder")
	done
	mkdir -p "$1"
	kit_folder=$(readlink -f "$1")
	mkdir "$scratch/real-$2" "$scratch/over-$2"
	# Read-only: this folder of the system is now below the scratch folder.
	mount --bind "$kit_folder" "$scratch/real-$2"
	mount -o remount,bind,ro "$scratch/real-$2"
	ln -s "$scratch/real-$2"/* "$scratch/over-$2/"
	ln -sf "$3" "$scratch/over-$2/$2"
	mount --bind "$scratch/over-$2" "$kit_folder"
}

lay_over /sbin mount.shalefs "$helper"
lay_over "${bindir#"$root"}" shalefs "$bindir/shalefs"

# ---- mount(8) ----------------------------------------------------------------

shalefs mkfs "$store"
claim "mount -t shalefs" mount -t shalefs "$store" "$mnt"
claim "it is mounted" is_mounted "$mnt"
echo hello >"$mnt/file"
claim "umount(8)" umount "$mnt"
wait_until "its daemon has ended" flock -n "$store/LOCK" true
claim "mount -t shalefs -o ro,noatime" \
	mount -t shalefs -o ro,noatime "$store" "$mnt"
claim_fails "it is read-only" touch "$mnt/new"
claim "the options are in force" grep -q " $mnt .*ro.*noatime" /proc/self/mounts
claim "what was written is there" test "$(cat "$mnt/file")" = hello
claim "umount" shalefs umount "$mnt"

cat >"$scratch/fstab" <<END
# a comment
$store $mnt shalefs defaults,noauto,nofail,x-any.thing,memory=32M 0 0
END
claim "a line of fstab, by its mountpoint" mount -T "$scratch/fstab" "$mnt"
claim_number "its options are in force" \
	"$(figure "$mnt" memory.budget_bytes)" -eq 33554432
claim "umount" shalefs umount "$mnt"
sed -i s/noauto,// "$scratch/fstab"
claim "mount -a" mount -a -T "$scratch/fstab"
claim "it is mounted" is_mounted "$mnt"
claim "mount -a again leaves it alone" mount -a -T "$scratch/fstab"
claim_number "it is mounted once" "$(kit_list_mounts | grep -cx "$mnt")" -eq 1
claim "umount" shalefs umount "$mnt"

# ---- what goes wrong ---------------------------------------------------------

claim_refused "an unknown option" frobnicate unknown \
	mount -t shalefs -o frobnicate "$store" "$mnt"
claim_number "is 32, a failure of the mount" "$kit_code" -eq 32
claim_refused "a folder that is no store" "$scratch" "not a shalefs store" \
	mount -t shalefs "$scratch/root" "$mnt"
claim_number "too" "$kit_code" -eq 32
claim_refused "the helper without arguments" usage mount.shalefs "$helper"
claim_number "is 1, a mistake of the caller" "$kit_code" -eq 1
claim "the helper knows --help" sh -c "'$helper' --help | grep -q usage"
claim "-f only pretends" mount -f -t shalefs "$store" "$mnt"
claim_fails "nothing is mounted" is_mounted "$mnt"
check_clean "$store"

if [ -n "$made" ]; then
	umount "${bindir#"$root"}"
	umount "$scratch/real-shalefs"
	find "$made" -depth -type d -exec rmdir {} +
fi
kit_end
