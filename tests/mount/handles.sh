#!/bin/sh
# SPDX-License-Identifier: MIT
# handles.sh: what NFS exports need: inode numbers and handles that hold for as
# long as a file does, over renames, remounts and forgotten caches; and that lead
# to nothing else afterwards. Root only, since opening by handle is.
. "$(dirname "$0")/mount_kit.sh"
kit_begin
kit_need_root "opening by handle"

store=$scratch/store
mnt=$scratch/mnt

numbers() {
	(cd "$mnt" && find . -printf '%i %P\n' | sort -k 2)
}

# saved NAME: what its handle opens now.
saved() {
	"$tools/handle" open "$mnt" <"$scratch/$1.handle"
}

save() {
	"$tools/handle" save "$mnt/$2" >"$scratch/$1.handle"
}

# leads_to NAME TEXT...: the lines that opening prints, but for the number.
leads_to() {
	saved "$1" | sed '1s/^[0-9]* //' >"$scratch/got"
	shift
	printf '%s\n' "$@" | cmp - "$scratch/got"
}

is_stale() {
	! saved "$1" 2>"$scratch/why" && grep -q 'Stale' "$scratch/why"
}

remount() {
	stop_mount "$mnt"
	start_mount "$store" "$mnt"
}

# As the kernel does where memory is short: what is not in use is forgotten.
forget_caches() {
	sync "$mnt"
	echo 2 >/proc/sys/vm/drop_caches
}

shalefs mkfs "$store"
start_mount "$store" "$mnt"
mkdir -p "$mnt/a/b/c"
echo deep >"$mnt/a/b/c/file"
ln -s target "$mnt/a/link"
mkfifo "$mnt/a/fifo"
echo short >"$mnt/a/gone"
mkdir "$mnt/a/gone.d"
save root .
save folder a/b/c
save file a/b/c/file
save link a/link
save gone a/gone
save gone.d a/gone.d
numbers >"$scratch/before"

remount
claim "a handle opens a file nobody has looked up since" \
	leads_to file "100000 " deep
numbers >"$scratch/after"
claim "inode numbers are the same after a remount" \
	cmp "$scratch/before" "$scratch/after"
remount
claim "a folder is found with its path" leads_to folder "40000 $mnt/a/b/c"
claim "so is the root" leads_to root "40000 $mnt"
claim "a symlink is found" leads_to link "120000 "

mv "$mnt/a/b" "$mnt/moved"
mv "$mnt/moved/c/file" "$mnt/file"
forget_caches
claim "a moved folder is found where it is" \
	leads_to folder "40000 $mnt/moved/c"
claim "a moved file is found" leads_to file "100000 " deep

rm "$mnt/a/gone"
rmdir "$mnt/a/gone.d"
claim "the handle of a removed file is stale" is_stale gone
claim "that of a removed folder too" is_stale gone.d
number=$(awk '$2 == "a/gone" { print $1 }' "$scratch/before")
i=0
while [ "$i" -lt 200 ]; do
	echo new >"$mnt/a/new.$i"
	i=$((i + 1))
done
claim "no other file gets its number" \
	test -z "$(find "$mnt" -inum "$number")"
claim "and it is stale still" is_stale gone
remount
claim "after a remount too" is_stale gone
claim "as is the folder's" is_stale gone.d

# A file without a name that is open when the mount is taken away.
echo held >"$mnt/held"
save held held
exec 3<"$mnt/held"
rm "$mnt/held"
claim "an unlinked file is found while it is open" \
	sh -c '"$1" open "$2" <"$3" | grep -q held' - "$tools/handle" \
	"$mnt" "$scratch/held.handle"
exec 3<&-
claim "and not after" is_stale held
stop_mount "$mnt"
check_clean "$store"
kit_end
