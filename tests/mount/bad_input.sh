#!/bin/sh
# SPDX-License-Identifier: MIT
# bad_input.sh: what cannot be done gets one line on stderr that names path and
# reason, an exit code that is not 0, and changes nothing. Damaged data is EIO
# for what it holds, and never other bytes.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

whole=$scratch/whole
store=$scratch/store
mnt=$scratch/mnt
mkdir "$mnt"

# refused TEXT NAMED REASON COMMAND...: as claim_refused, and the store stays as
# it was.
refused() {
	before=$(fingerprint "$store")
	claim_refused "$@"
	[ "$(fingerprint "$store")" = "$before" ] ||
		fail "$1: the store changed"
	! is_mounted "$mnt" || fail "$1: something is mounted"
}

# mistaken TEXT NAMED REASON COMMAND...: the command line itself is wrong.
mistaken() {
	kit_what=$1
	refused "$@"
	[ "$kit_code" -eq 2 ] || fail "$kit_what: exit code $kit_code, not 2"
}

# usage TEXT REASON COMMAND...: the same, and the command is named.
usage() {
	kit_what=$1
	kit_why=$2
	shift 2
	mistaken "$kit_what" shalefs "$kit_why" "$@"
}

shalefs mkfs "$whole"
start_mount "$whole" "$mnt" memory=64M
head -c 2000000 /dev/urandom >"$mnt/large"
echo small >"$mnt/small"
mkdir "$mnt/folder"
i=0
while [ "$i" -lt 50 ]; do
	i=$((i + 1))
	echo "$i" >"$mnt/folder/$i"
	# Inline, so that tables hold more than names and attributes.
	head -c 4000 /dev/urandom >"$mnt/folder/inline$i"
done
cp -a "$mnt/." "$scratch/contents"
stop_mount "$mnt"
copy_store "$whole" "$store"
chmod 755 "$mnt"

# ---- the command line --------------------------------------------------------

usage "no command" "command is missing" shalefs
usage "a command there is not" "unknown command 'frobnicate'" shalefs frobnicate
usage "an option there is not" "unknown option --frob" shalefs mkfs --frob x
usage "a short one" "unknown option -x" shalefs mount -x "$store" "$mnt"
usage "an argument too few" "argument is missing" shalefs mount "$store"
usage "an argument too many" "too many arguments" \
	shalefs check "$store" "$store"
usage "a value too few" "value is missing" shalefs mount "$store" "$mnt" -o
for command in mkfs mount umount fork stats check; do
	claim "$command --help" sh -c "'$program' $command --help |
		grep -q '^Usage: shalefs $command'"
	claim "$command --version" sh -c \
		"'$program' $command --version | grep -q '^shalefs '"
done
claim "--help" sh -c "'$program' --help | grep -q '^Usage: shalefs'"
claim "--version" sh -c "'$program' --version | grep -q '^shalefs '"
claim_fails "output that cannot be written is a failure" \
	sh -c "'$program' --help >/dev/full"
claim_fails "also of stats" \
	sh -c "'$program' stats --json '$store' >/dev/full"

# ---- options -----------------------------------------------------------------

mistaken "an unknown mount option" frobnicate unknown \
	shalefs mount -o frobnicate "$store" "$mnt"
mistaken "one among others" frob=1 unknown \
	shalefs mount -o ro,frob=1,noatime "$store" "$mnt"
mistaken "a size that is none" memory=lots "not a size" \
	shalefs mount -o memory=lots "$store" "$mnt"
mistaken "a size with a bad suffix" credit=1X "not a size" \
	shalefs mount -o credit=1X "$store" "$mnt"
mistaken "too little memory" memory=1M "less than" \
	shalefs mount -o memory=1M "$store" "$mnt"
mistaken "too much memory" memory=99999T "too large|more than" \
	shalefs mount -o memory=99999T "$store" "$mnt"
mistaken "more credit than memory" credit "more than half" \
	shalefs mount -o memory=32M,credit=64M "$store" "$mnt"

# ---- what is no store --------------------------------------------------------

mkdir "$scratch/empty" "$scratch/full"
echo x >"$scratch/full/file"
mkdir "$scratch/dest"
for command in "mount %s $mnt" "fork %s $scratch/dest/f" "check %s" \
	"stats %s"; do
	verb=${command%% *}
	for path in empty full full/file missing; do
		reason='not a shalefs store'
		[ "$path" != missing ] || reason='no such (file|folder)'
		[ "$path" != full/file ] ||
			reason='not a (directory|shalefs)|no such folder'
		# shellcheck disable=SC2046,SC2059
		refused "$verb of $path" "$scratch/$path" "$reason" \
			shalefs $(printf "$command" "$scratch/$path")
	done
done
claim "nothing was made" test -z \
	"$(find "$scratch/dest" "$scratch/empty" -mindepth 1)"

# ---- mkfs and fork: what is in the way ---------------------------------------

refused "mkfs on a folder with files" "$scratch/full" "not empty" \
	shalefs mkfs "$scratch/full"
refused "mkfs on a store" "$store" "already" shalefs mkfs "$store"
refused "mkfs on a file" "$scratch/full/file" "no folder" \
	shalefs mkfs "$scratch/full/file"
refused "mkfs in a folder that is not there" "$scratch/missing/s" \
	"no such" shalefs mkfs "$scratch/missing/s"
claim "mkfs takes an empty folder" shalefs mkfs "$scratch/empty"
check_clean "$scratch/empty"
refused "fork to what exists" "$scratch/full" "exists" \
	shalefs fork "$store" "$scratch/full"
refused "fork into a folder that is not there" "$scratch/missing/f" \
	"no such" shalefs fork "$store" "$scratch/missing/f"
claim "no scrap was left" test -z \
	"$(find "$scratch" -name '.tmp*' -not -path "$scratch/full/*")"

# ---- mountpoints -------------------------------------------------------------

refused "a mountpoint that does not exist" "$scratch/missing" "no such" \
	shalefs mount "$store" "$scratch/missing"
refused "a mountpoint that is a file" "$scratch/full/file" "not a directory" \
	shalefs mount "$store" "$scratch/full/file"
refused "a mountpoint with another mount" /proc "mounted there" \
	shalefs mount "$store" /proc
refused "umount of no mount" "$mnt" "not mounted" shalefs umount "$mnt"

copy_store "$whole" "$scratch/other"
start_mount "$scratch/other" "$scratch/othermnt"
refused "a mountpoint with another store" "$scratch/othermnt" \
	"other is mounted there" shalefs mount "$store" "$scratch/othermnt"
kill_daemon "$scratch/othermnt"
refused "a mountpoint with another store whose daemon died" \
	"$scratch/othermnt" "other is mounted there.*died" \
	shalefs mount "$store" "$scratch/othermnt"
claim "its own store is mounted there again" \
	shalefs mount "$scratch/other" "$scratch/othermnt"
claim "with what it had" diff -r "$scratch/contents" "$scratch/othermnt"
claim "and unmounted" shalefs umount "$scratch/othermnt"

# ---- in use ------------------------------------------------------------------

start_mount "$scratch/other" "$scratch/othermnt"
for command in "mount $scratch/other $mnt" "check $scratch/other"; do
	# shellcheck disable=SC2086
	refused "${command%% *} of a store in use" "$scratch/other" "in use" \
		shalefs $command
done
stop_mount "$scratch/othermnt"

# ---- newer formats -----------------------------------------------------------

"$tools/damage" newer "$store"
for command in "mount $store $mnt" "check $store" "stats $store" \
	"fork $store $scratch/dest/f"; do
	# shellcheck disable=SC2086
	refused "${command%% *} of a newer format" "$store" "newer" \
		shalefs $command
done
copy_store "$whole" "$store"
"$tools/damage" reading "$store"
refused "a feature that allows reading only" "$store" "reading only" \
	shalefs mount "$store" "$mnt"
start_mount "$store" "$mnt" ro
claim "such a store can be read" diff -r "$scratch/contents" "$mnt"
stop_mount "$mnt"

# ---- damage ------------------------------------------------------------------

# What is there is the same, or cannot be read; other bytes or names are never
# seen. Sets $errors to how many files gave EIO.
claim_nothing_else() {
	errors=0
	diff -r "$scratch/contents" "$mnt" >/dev/null 2>&1 && return
	find "$scratch/contents" -type f -printf '%P\n' >"$scratch/names"
	while IFS= read -r name; do
		if cat "$mnt/$name" >"$scratch/got" 2>"$scratch/cat.err"; then
			cmp -s "$scratch/got" "$scratch/contents/$name" ||
				fail "$1: other bytes in $name"
		else
			grep -q "Input/output error" "$scratch/cat.err" ||
				fail "$1: $name: $(cat "$scratch/cat.err")"
			errors=$((errors + 1))
		fi
	done <"$scratch/names"
	[ "$errors" -gt 0 ] || fail "$1: names are missing, or others are there"
}

# damaged FILE OFFSET: mount refuses with one line that names the file, or what
# is mounted shows nothing else.
damaged() {
	copy_store "$whole" "$store"
	"$tools/damage" flip "$1" "$2"
	kit_what="byte $2 of $(basename "$1")"
	before=$(fingerprint "$store")
	rm -f "$scratch/mnt.log"
	if try_mount "$store" "$mnt"; then
		damaged_is_mounted "$1"
		return
	fi
	last_line=$(cat "$scratch/mnt.log")
	if [ "$(wc -l <"$scratch/mnt.log")" -ne 1 ] ||
		! grep -F "$store" "$scratch/mnt.log" |
		grep -qF "$(basename "$1")"; then
		fail "$kit_what: not one line that names it: $last_line"
	fi
	[ "$(fingerprint "$store")" = "$before" ] ||
		fail "$kit_what: the store changed"
	refusals=$((refusals + 1))
}

damaged_is_mounted() {
	claim_nothing_else "$kit_what"
	if [ "$errors" -gt 0 ]; then
		unreadable=$((unreadable + 1))
		last_line=$(grep -F "$(basename "$1")" "$scratch/mnt.log" |
			grep -E 'offset [0-9]|header|footer' | head -n 1)
		[ -n "$last_line" ] ||
			fail "$kit_what: no log line names file and place"
	fi
	kill_daemon "$mnt"
	kit_detach "$mnt"
}

# damage_file TEXT FILE COUNT: at both ends, and at COUNT places in between,
# before the zeros that a file may end with.
damage_file() {
	size=$(tr -d '\000' <"$2" | wc -c)
	refusals=0
	unreadable=0
	last_line=
	i=0
	damaged "$2" 0
	damaged "$2" -1
	while [ "$i" -lt "$3" ]; do
		i=$((i + 1))
		damaged "$2" $(((seed / 3 + i * 7919 * 31) % size))
	done
	say "ok: $1: of $((i + 2)) flipped bytes $refusals refuse the mount," \
		"$unreadable make files unreadable: $last_line"
}

inside() {
	copy_store "$whole" "$store"
	find "$store" -type f "$@" | sort | head -n 1
}

damage_file "a damaged superblock" "$(inside -name SHALEFS)" 6
claim_number "is always refused" "$refusals" -eq 8
damage_file "a damaged manifest" "$(inside -name 'MANIFEST*')" 6
damage_file "a damaged CURRENT" "$(inside -name CURRENT)" 2
claim_number "is always refused" "$refusals" -eq 4
damage_file "a damaged table" "$(inside -name '*.sst' -size +100k)" 8
claim_number "is found" $((refusals + unreadable)) -gt 4
damage_file "a damaged segment" "$(inside -name '*.seg' -size +100k)" 8
claim_number "is found" $((refusals + unreadable)) -gt 4
if list=$(inside -name '*.list') && [ -n "$list" ]; then
	damage_file "a damaged list" "$list" 4
fi

# A log that holds something: of a daemon that was killed.
start_mount "$whole" "$mnt"
i=0
while [ "$i" -lt 20 ]; do
	i=$((i + 1))
	head -c 5000 /dev/urandom >"$mnt/logged$i"
	sync "$mnt/logged$i"
done
rm -rf "$scratch/contents"
cp -a "$mnt/." "$scratch/contents"
kill_daemon "$mnt"
kit_detach "$mnt"
damage_file "a damaged log" "$(inside -name '*.wal' -size +50k)" 8

# ---- files that are missing --------------------------------------------------

for file in 'MANIFEST*' CURRENT '*.wal'; do
	path=$(inside -name "$file")
	rm "$path"
	refused "a missing $file" "$store" "$(basename "$path")" \
		shalefs mount "$store" "$mnt"
done

# A missing table or segment is refused, or nothing but EIO comes of it; with
# the file back everything is.
for kind in sst seg; do
	path=$(inside -name "*.$kind" -size +100k)
	mv "$path" "$scratch/missed"
	rm -f "$scratch/mnt.log"
	if try_mount "$store" "$mnt"; then
		claim_nothing_else "a missing .$kind"
		[ "$errors" -gt 0 ] || fail "a missing .$kind is not missed"
		stop_mount "$mnt"
	fi
	claim "a missing .$kind is named" \
		grep -qF "$(basename "$path")" "$scratch/mnt.log"
	mv "$scratch/missed" "$path"
	start_mount "$store" "$mnt"
	claim "with it back, everything is" diff -r "$scratch/contents" "$mnt"
	[ "$kind" = seg ] || stop_mount "$mnt"
done
stop_mount "$mnt"
check_clean "$store"

check_clean "$whole" "what was copied from is whole"

# ---- names and values over the limits: tests/mount/posix.sh; here in words ---

start_mount "$whole" "$mnt"
long=$(printf '%0256d' 0)
claim_refused "a name of 256 bytes" "File name too long" "too long" \
	touch "$mnt/$long"
claim_refused "a value over the limit" "small" "." \
	setfattr -n user.a -v "$(head -c 65537 /dev/zero | tr '\0' x)" \
	"$mnt/small"
claim "the mount is as it was" diff -r "$scratch/contents" "$mnt"
stop_mount "$mnt"
check_clean "$whole"

# ---- what only looks bad --------------------------------------------------------

claim "a folder may end in a slash" shalefs check "$whole/"
claim "also where it is made" shalefs fork "$whole/" "$scratch/slash/"
check_clean "$scratch/slash"
kit_end
