#!/bin/sh
# SPDX-License-Identifier: MIT
# requests.sh: operations cost the requests that they need, and no others: the
# daemon counts each kind.
. "$(dirname "$0")/mount_kit.sh"
kit_begin

store=$scratch/store
mnt=$scratch/mnt
shalefs mkfs "$store"
start_mount "$store" "$mnt"
cd "$mnt"

# The counters that are not 0, as lines "NAME COUNT".
requests() {
	shalefs stats --json "$mnt" | tr ',{}' '\n\n\n' |
		sed -n 's/^ *"\([A-Z_0-9]*\)": *\([0-9]*\) *$/\1 \2/p' | sort
}

# claim_requests TEXT "NAME COUNT ..." COMMAND...: the command makes only these
# counters go up, each by at most its count, and by more than nothing; but for
# some, which depend on what was asked before. FORGET is left out, which comes
# when the kernel likes.
claim_requests() {
	kit_text=$1
	kit_wanted=$2
	shift 2
	requests >"$scratch/before"
	"$@" >"$scratch/requests.out" 2>&1 || {
		cat "$scratch/requests.out"
		fail "$*"
	}
	requests >"$scratch/after"
	join "$scratch/before" "$scratch/after" |
		awk '$3 > $2 && $1 != "FORGET" { print $1, $3 - $2 }' \
			>"$scratch/more"
	# shellcheck disable=SC2086
	printf '%s %s\n' $kit_wanted | sed '/^ *$/d' | sort >"$scratch/wanted"
	join -a 1 -a 2 -e 0 -o 0,1.2,2.2 "$scratch/wanted" "$scratch/more" |
		awk '$3 > $2 || ($3 == 0 &&
			$1 !~ /^(GETATTR|OPENDIR|READDIR|STATFS)$/) {
			bad = 1
		} END { exit bad }' || {
		cat "$scratch/more"
		fail "$kit_text: wanted $kit_wanted"
	}
	say "ok: $kit_text ($(tr '\n' ' ' <"$scratch/more"))"
}

# hundred COMMAND...: with 1 to 100 at its end.
hundred() {
	kit_i=0
	while [ "$kit_i" -lt 100 ]; do
		kit_i=$((kit_i + 1))
		"$@$kit_i" || return 1
	done
}

make() {
	: >"$1"
}

look() {
	[ -e "$1" ]
}

look_away() {
	[ ! -e "$1" ]
}

# read is the shell's own: no program is started.
read_line() {
	read -r kit_line <"$1" && [ "$kit_line" = line ]
}

write_line() {
	echo line >"$1"
}

# The first of their kind: the kernel learns that open, create and the like are
# not needed.
mkdir first files names
: >first/file
cat first/file
ls first >/dev/null

cd files
claim_requests "creating a file takes three requests" \
	"LOOKUP 100 GETATTR 101 MKNOD 100" hundred make new
claim_requests "and four with a write, five with the first look for xattrs" \
	"LOOKUP 100 GETATTR 101 MKNOD 100 GETXATTR 100 WRITE 100" \
	hundred write_line line
claim_requests "100 writes are 100 requests" "WRITE 100 LOOKUP 1 GETATTR 2
	MKNOD 1 GETXATTR 1" \
	dd if=/dev/zero of=written bs=4096 count=100 status=none
claim_requests "also into a file that was there" "WRITE 100 GETATTR 1" \
	dd if=/dev/zero of=written bs=4096 count=100 conv=notrunc status=none
claim_requests "a large write is one request for each MiB" \
	"WRITE 16 LOOKUP 1 GETATTR 2 MKNOD 1 GETXATTR 1" \
	dd if=/dev/zero of=large bs=1M count=16 status=none
claim_requests "a file is read once" "GETATTR 100 READ 100" \
	hundred read_line line
claim_requests "and then from memory, opened and closed without a request" \
	"" hundred read_line line
claim_requests "reading moved its times: they are asked for once" \
	"GETATTR 100" hundred look line
claim_requests "and then known" "" hundred look line
claim_requests "what is not there is looked for once" "LOOKUP 100" \
	hundred look_away none
claim_requests "and not twice" "" hundred look_away none
claim_requests "making it then takes no look" "GETATTR 101 MKNOD 100" \
	hundred make none
claim_requests "renaming takes three requests" \
	"LOOKUP 100 GETATTR 100 RENAME2 100" \
	sh -c 'for i in $(seq 100); do mv -n -T new$i old$i; done'
claim_requests "removing takes two, and one more for rm, which looks first" \
	"GETATTR 201 UNLINK 100" \
	sh -c 'rm -f $(seq -f old%.0f 100)'

cd ../names
hundred make file
cd "$scratch"
stop_mount "$mnt"
start_mount "$store" "$mnt"
cd "$mnt/names"
claim_requests "a folder is listed, with attributes, without a look at each" \
	"OPENDIR 1 READDIRPLUS 2 READDIR 2 STATFS 1 GETATTR 1" \
	find . -printf '%s %u\n'
claim_requests "and from memory when it is listed again" \
	"STATFS 1 GETATTR 1" find . -printf '%s %u\n'
cd "$scratch"
stop_mount "$mnt"
check_clean "$store"
kit_end
