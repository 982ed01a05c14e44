#!/bin/sh
# SPDX-License-Identifier: MIT
# stats.sh: each figure of stats --json moves when it should, and agrees with
# what can be measured from outside: /proc of the daemon, the files of the
# store, the options, how much was written.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
mib=1048576

# $1 MiB that do not compress into the file $2, in writes that are too small to be
# placed in a segment at once.
write_noise() {
	dd if=/dev/urandom of="$2" bs=32K count=$(($1 * 32)) \
		iflag=fullblock status=none
}

now_ns() {
	date +%s%N
}

# A line of /proc/PID/FILE of the daemon.
proc_figure() {
	sed -n "s/^$2:[[:space:]]*\\([0-9]*\\).*/\\1/p" \
		"/proc/$(daemon_pid "$mnt")/$1"
}

resident() {
	echo $(($(proc_figure status VmRSS) * 1024))
}

sum_of_levels() {
	sum=0
	level=0
	shalefs stats --json "$mnt" >"$scratch/figures"
	levels=$("$tools/json_figure" levels <"$scratch/figures")
	while [ "$level" -lt "$levels" ]; do
		sum=$((sum + $("$tools/json_figure" "levels.$level.$1" \
			<"$scratch/figures")))
		level=$((level + 1))
	done
	echo "$sum"
}

# count_pool EXTENSION, bytes_of_pool EXTENSION
count_pool() {
	find "$store/pool" -name "*.$1" | wc -l
}

bytes_of_pool() {
	find "$store/pool" -name "*.$1" -printf '%s\n' |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# What a compaction has replaced goes a moment later.
pool_agrees() {
	[ "$(sum_of_levels files)" -eq "$(count_pool sst)" ] &&
		[ "$(sum_of_levels bytes)" -eq "$(bytes_of_pool sst)" ] &&
		[ "$(figure "$mnt" segments.files)" -eq \
			"$(count_pool seg)" ] &&
		[ "$(figure "$mnt" segments.bytes)" -eq \
			"$(bytes_of_pool seg)" ]
}

flushed_bytes() {
	echo $(($(sum_of_levels bytes) + $(figure "$mnt" segments.bytes)))
}

is_below() {
	[ "$(figure "$mnt" "$1")" -lt "$2" ]
}

# claim_within TEXT VALUE MEASURED PERCENT
claim_within() {
	kit_off=$(($2 > $3 ? $2 - $3 : $3 - $2))
	[ $((kit_off * 100)) -le $(($3 * $4)) ] ||
		fail "$1: $2 is not within $4 % of $3"
	say "ok: $1 ($2, measured $3)"
}

# ---- limits: what the options say --------------------------------------------

shalefs mkfs "$store"
files=$(ulimit -S -n)
ulimit -S -n 300 # whatever it is here, for the daemon to raise
start_mount "$store" "$mnt" memory=32M,credit=2M
ulimit -S -n "$files"
claim_number "the daemon may open as many files as the system allows" \
	"$(awk '/^Max open files/ { print $4 }' \
		"/proc/$(daemon_pid "$mnt")/limits")" -eq "$(ulimit -H -n)"
claim_number "memory.budget_bytes is the option" \
	"$(figure "$mnt" memory.budget_bytes)" -eq $((32 * mib))
claim_number "credit.limit_bytes is the option" \
	"$(figure "$mnt" credit.limit_bytes)" -eq $((2 * mib))
claim_number "cache.limit_bytes is a quarter of the budget" \
	"$(figure "$mnt" cache.limit_bytes)" -eq $((8 * mib))
stop_mount "$mnt"
start_mount "$store" "$mnt" memory=64M,credit=0
claim_number "another budget, another figure" \
	"$(figure "$mnt" memory.budget_bytes)" -eq $((64 * mib))
claim_number "credit off is a limit of 0" \
	"$(figure "$mnt" credit.limit_bytes)" -eq 0
claim_number "and another cache" \
	"$(figure "$mnt" cache.limit_bytes)" -eq $((16 * mib))
stop_mount "$mnt"
start_mount "$store" "$mnt" memory=256M
claim_number "credit is 64 MiB by default" \
	"$(figure "$mnt" credit.limit_bytes)" -eq $((64 * mib))

# ---- large writes -------------------------------------------------------------

written=$(figure "$mnt" io.bytes_written)
dd if=/dev/urandom of="$mnt/bulk" bs=1M count=16 iflag=fullblock conv=fsync \
	status=none
grown=$(($(figure "$mnt" io.bytes_written) - written))
claim_number "large writes are written" "$grown" -ge $((16 * mib))
claim_number "and that once" "$grown" -lt $((20 * mib))
claim_number "segments.damaged is 0" "$(figure "$mnt" segments.damaged)" -eq 0

# ---- credit, io, sequence: what is written -----------------------------------

used=$(figure "$mnt" credit.used_bytes)
peak=$(figure "$mnt" credit.peak_bytes)
written=$(figure "$mnt" io.bytes_written)
wchar=$(proc_figure io wchar)
write_noise 8 "$mnt/noise"
grown=$(($(figure "$mnt" credit.used_bytes) - used))
claim_number "credit.used_bytes grows by what is written" \
	"$grown" -ge $((8 * mib))
claim_number "and by little more" "$grown" -le $((9 * mib))
claim_number "credit.peak_bytes is at least that" \
	"$(figure "$mnt" credit.peak_bytes)" -ge $((used + grown))
claim_number "and has moved" "$(figure "$mnt" credit.peak_bytes)" -gt "$peak"
grown=$(($(figure "$mnt" io.bytes_written) - written))
claim_number "io.bytes_written grows by at least what is written" \
	"$grown" -ge $((8 * mib))
claim_number "and no more than the daemon's calls wrote" \
	"$grown" -le $(($(proc_figure io wchar) - wchar))

sequence=$(figure "$mnt" sequence)
i=0
while [ "$i" -lt 100 ]; do
	i=$((i + 1))
	mkdir "$mnt/dir$i"
done
grown=$(($(figure "$mnt" sequence) - sequence))
claim_number "sequence counts at least each of 100 operations" \
	"$grown" -ge 100
claim_number "and what an operation changes is bounded" "$grown" -le 1000

claim_within "memory.resident_bytes is VmRSS" \
	"$(figure "$mnt" memory.resident_bytes)" "$(resident)" 10
resident=$(figure "$mnt" memory.resident_bytes)
write_noise 16 "$mnt/more"
claim_number "it grows with what is held" \
	"$(figure "$mnt" memory.resident_bytes)" -gt $((resident + 4 * mib))

# Inline, so that reading them takes blocks of tables.
mkdir "$mnt/inline"
write_noise 6 "$scratch/inline"
split -a 4 -b 4000 "$scratch/inline" "$mnt/inline/"
sequence=$(figure "$mnt" sequence)
stop_mount "$mnt"

# ---- levels: the tables in the pool ------------------------------------------

start_mount "$store" "$mnt" memory=64M,credit=1M
claim_number "sequence goes on where it was" \
	"$(figure "$mnt" sequence)" -ge "$sequence"
claim_number "a close leaves no credit used" \
	"$(figure "$mnt" credit.used_bytes)" -lt 65536
files=$(sum_of_levels files)
claim_number "there are tables" "$files" -gt 0
wait_until "levels[] and segments name the files of the pool" pool_agrees
say "ok: levels[] count the pool's tables ($(count_pool sst)) and their bytes" \
	"($(bytes_of_pool sst)), segments those with values ($(count_pool seg)," \
	"$(bytes_of_pool seg))"

# ---- cache, bytes_read: what is read -----------------------------------------

cached=$(figure "$mnt" cache.used_bytes)
read_before=$(figure "$mnt" io.bytes_read)
rchar=$(proc_figure io rchar)
cat "$mnt/more" >/dev/null
grown=$(($(figure "$mnt" io.bytes_read) - read_before))
# A block or two were read before, to find the file.
claim_number "io.bytes_read grows by what is read" \
	"$grown" -ge $((15 * mib))
claim_number "and no more than the daemon's calls read" \
	"$grown" -le $(($(proc_figure io rchar) - rchar))
cat "$mnt"/inline/* | cmp - "$scratch/inline" || fail "other bytes were read"
claim_number "cache.used_bytes grows with what is read of tables" \
	"$(figure "$mnt" cache.used_bytes)" -gt $((cached + 4 * mib))
claim_number "and stays below its limit" \
	"$(figure "$mnt" cache.used_bytes)" -le $((16 * mib))

# ---- waits, stall: what must wait --------------------------------------------

claim_number "nobody has waited yet" "$(figure "$mnt" credit.waits)" -eq 0
claim_number "for no time" "$(figure "$mnt" credit.stall_ns)" -eq 0
bytes=$(flushed_bytes)
before_ns=$(now_ns)
for i in 1 2 3 4; do
	write_noise 8 "$mnt/flat-out-$i" &
	eval "writer$i=$!"
done
# shellcheck disable=SC2154
for writer in $writer1 $writer2 $writer3 $writer4; do
	wait "$writer" || fail "a writer failed"
done
elapsed=$(($(now_ns) - before_ns))
claim_number "credit.waits counts writers who found none" \
	"$(figure "$mnt" credit.waits)" -gt 0
claim_number "credit.stall_ns is how long they waited" \
	"$(figure "$mnt" credit.stall_ns)" -gt 0
claim_number "no longer than four writers were at work" \
	"$(figure "$mnt" credit.stall_ns)" -le $((4 * elapsed))
claim_number "credit.peak_bytes stays at the limit" \
	"$(figure "$mnt" credit.peak_bytes)" -le "$mib"
claim_number "credit.used_bytes too" \
	"$(figure "$mnt" credit.used_bytes)" -le "$mib"
claim_number "levels[].bytes and segments.bytes grow by what was flushed" \
	"$(flushed_bytes)" -gt $((bytes + 24 * mib))
wait_until "levels[] and segments name the files of the pool" pool_agrees
say "ok: levels[] follow compaction ($(count_pool sst) tables," \
	"$(bytes_of_pool sst) bytes)"

# ---- the rest ----------------------------------------------------------------

claim_number "branches.count counts the folders of branches" \
	"$(figure "$mnt" branches.count)" -eq \
	"$(find "$store/branches" -mindepth 1 -maxdepth 1 -type d | wc -l)"
claim_number "branches.open is the mounted one" \
	"$(figure "$mnt" branches.open)" -eq 1
claim_number "branches.damaged is 0" \
	"$(figure "$mnt" branches.damaged)" -eq 0
claim_number "fs.files counts what find does" \
	"$(figure "$mnt" fs.files)" -eq "$(find "$mnt" | wc -l)"
claim_number "fs.used_bytes is the sum of blocks" \
	"$(figure "$mnt" fs.used_bytes)" -eq \
	$(($(find "$mnt" -type f -printf '%b\n' |
		awk '{ sum += $1 } END { print sum }') * 512))
claim "stats prints a table for people" sh -c \
	"'$program' stats '$mnt' | grep -q 'credit limit.*1.0 MiB'"
claim "of a mountpoint and of its store alike" test \
	"$(figure "$store" credit.limit_bytes)" -eq "$mib"
for key in $(shalefs stats --json "$mnt" |
	sed -n 's/.*"\([a-z][a-z0-9_]*\)":.*/\1/p' | sort -u); do
	grep -qwE "$key|${key%_*}" "$top_srcdir/docs/shalefs.1" ||
		fail "shalefs(1) does not know $key"
done
say "ok: shalefs(1) knows every figure"
claim "mounted is true" test "$(figure "$mnt" mounted)" = true
sequence=$(figure "$mnt" sequence)
stop_mount "$mnt"
claim "mounted is false afterwards" test "$(figure "$store" mounted)" = false
claim_number "a store at rest knows its sequence" \
	"$(figure "$store" sequence)" -ge "$sequence"
claim_number "and its files" "$(figure "$store" fs.files)" -gt 100
mkdir "$store/branches/00000000deadbeef"
claim_number "a folder of a branch that cannot be read is damaged" \
	"$(figure "$store" branches.damaged)" -eq 1
rmdir "$store/branches/00000000deadbeef"
check_clean "$store"
kit_end
