# SPDX-License-Identifier: MIT
# mount_kit.sh: what the tests with real mounts have in common; sourced by them.
#
# A test is a list of claims, each printed as it is shown to hold; the first one
# that does not hold ends it. It works in a folder of its own, $scratch, which
# stays where it is when the test failed. Every daemon is started in the
# foreground, as a child, so that its pid and its exit code are known.
#
# From the environment: SHALEFS the program, BUILDDIR where tests/mount/ has the
# programs that tests call, SHALEFS_SEED, SHALEFS_REQUIRE_FUSE=1 (a missing
# /dev/fuse is a failure), TMPDIR, KIT_LIMIT_S seconds for the whole test.
# shellcheck shell=sh

set -eu
LC_ALL=C
export LC_ALL
umask 022

kit_name=$(basename "$0" .sh)
kit_dir=$(cd "$(dirname "$0")" && pwd -P)
top_srcdir=$(cd "$kit_dir/../.." && pwd -P)
builddir=${BUILDDIR:-$PWD}
program=${SHALEFS:-$builddir/shalefs}
tools=$builddir/tests/mount
seed=${SHALEFS_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
scratch=

# ---- the end -----------------------------------------------------------------

say() {
	printf '%s\n' "$*"
}

fail() {
	say "not ok: $*"
	exit 1
}

# Take away a mount, however busy or dead it is.
kit_detach() {
	umount -l "$1" 2>/dev/null || fusermount3 -u -z -q "$1" 2>/dev/null || :
}

kit_list_mounts() {
	awk -v root="$scratch/" 'index($5, root) == 1 { print $5 }' \
		/proc/self/mountinfo | sort -r
}

kit_stop_everything() {
	kit_list_mounts | while read -r mnt; do
		kit_detach "$mnt"
	done
	for file in "$kit_state"/*.pid; do
		[ -e "$file" ] || continue
		pid=$(cat "$file")
		kill -TERM "$pid" 2>/dev/null || continue
		kit_poll 20 kit_is_gone "$pid" ||
			kill -KILL "$pid" 2>/dev/null || :
	done
}

kit_cleanup() {
	status=$?
	trap - EXIT
	set +e
	kit_stop_everything
	if [ -n "$kit_watchdog" ]; then
		kill -TERM "$kit_watchdog" 2>/dev/null
		wait "$kit_watchdog" 2>/dev/null
	fi
	if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
		kit_show_logs
		say "$kit_name: seed $seed; what was left is in $scratch"
	else
		rm -rf "$scratch"
	fi
	exit "$status"
}

kit_show_logs() {
	for file in "$scratch"/*.log "$kit_reports"/*; do
		[ -s "$file" ] || continue
		say "---- $file"
		tail -n 40 "$file"
	done
}

# A test that hangs does so in a call into the mount: without its daemon the
# call ends, and the test with it.
kit_start_watchdog() {
	(
		sleep "${KIT_LIMIT_S:-900}" >/dev/null 2>&1 &
		sleeper=$!
		trap 'kill "$sleeper" 2>/dev/null; exit 0' TERM
		wait "$sleeper"
		say "not ok: $kit_name takes too long"
		for file in "$kit_state"/*.pid; do
			[ ! -e "$file" ] || kill -KILL "$(cat "$file")"
		done
		kill -TERM $$
	) &
	kit_watchdog=$!
}

# ---- the beginning -----------------------------------------------------------

kit_need_fuse() {
	if [ -c /dev/fuse ] && (exec 3<>/dev/fuse) 2>/dev/null; then
		return
	fi
	[ "${SHALEFS_REQUIRE_FUSE:-0}" != 1 ] ||
		fail "/dev/fuse is missing or cannot be opened"
	say "skipped: /dev/fuse is missing or cannot be opened"
	exit 77
}

kit_need_root() {
	[ "$(id -u)" -eq 0 ] || {
		say "skipped: $1 needs root"
		exit 77
	}
}

kit_need_tools() {
	for tool; do
		command -v "$tool" >/dev/null || fail "$tool is not installed"
	done
}

# A sanitizer's report would otherwise go nowhere.
kit_watch_sanitizers() {
	kit_reports=$scratch/reports
	mkdir -m 1777 "$kit_reports"
	chmod 1777 "$kit_reports"
	kit_path=log_path=$kit_reports
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}$kit_path/asan
	UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}$kit_path/ubsan
	TSAN_OPTIONS=${TSAN_OPTIONS:+$TSAN_OPTIONS:}$kit_path/tsan
	export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
}

kit_check_reports() {
	for report in "$kit_reports"/*; do
		[ ! -e "$report" ] || fail "a sanitizer reported: $report"
	done
}

kit_begin() {
	kit_need_fuse
	[ -x "$program" ] || fail "no program at $program"
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/shalefs-$kit_name.XXXXXX")
	scratch=$(cd "$scratch" && pwd -P)
	chmod 755 "$scratch"
	kit_state=$scratch/.state
	kit_watchdog=
	mkdir "$kit_state"
	trap kit_cleanup EXIT
	trap 'exit 130' INT TERM HUP PIPE
	kit_watch_sanitizers
	kit_start_watchdog
	say "$kit_name: seed $seed"
}

# The last line of every test.
kit_end() {
	kit_check_reports
	say "$kit_name: done"
}

# ---- claims ------------------------------------------------------------------

# claim TEXT COMMAND...: the command succeeds.
claim() {
	kit_text=$1
	shift
	if "$@" >"$scratch/claim.out" 2>&1; then
		say "ok: $kit_text"
		return
	fi
	head -n 40 "$scratch/claim.out"
	fail "$kit_text ($*)"
}

# claim_fails TEXT COMMAND...: it does not, and is not killed by a signal.
claim_fails() {
	kit_text=$1
	shift
	kit_code=0
	"$@" >"$scratch/claim.out" 2>&1 || kit_code=$?
	if [ "$kit_code" -gt 0 ] && [ "$kit_code" -lt 124 ]; then
		say "ok: $kit_text"
		return
	fi
	head -n 40 "$scratch/claim.out"
	fail "$kit_text (exit code $kit_code: $*)"
}

# claim_refused TEXT NAMED REASON COMMAND...: it fails with one line on stderr
# that has the string NAMED in it and matches the pattern REASON.
claim_refused() {
	kit_text=$1
	kit_named=$2
	kit_reason=$3
	shift 3
	kit_code=0
	"$@" >"$scratch/claim.out" 2>"$scratch/claim.err" || kit_code=$?
	kit_lines=$(wc -l <"$scratch/claim.err")
	if [ "$kit_code" -gt 0 ] && [ "$kit_code" -lt 124 ] &&
		[ "$kit_lines" -eq 1 ] &&
		grep -qF -e "$kit_named" "$scratch/claim.err" &&
		grep -qiE -e "$kit_reason" "$scratch/claim.err"; then
		say "ok: $kit_text: $(cat "$scratch/claim.err")"
		return
	fi
	say "---- exit code $kit_code, stdout and stderr:"
	cat "$scratch/claim.out" "$scratch/claim.err"
	fail "$kit_text: wanted one line with '$kit_named' and /$kit_reason/" \
		"($*)"
}

# claim_number TEXT A OPERATOR B, as test(1) compares numbers.
claim_number() {
	test "$2" "$3" "$4" || fail "$1: $2 is not $3 $4"
	say "ok: $1 ($2 $3 $4)"
}

# ---- waiting -----------------------------------------------------------------

# kit_poll SECONDS COMMAND...: until it succeeds.
kit_poll() {
	kit_deadline=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -le "$kit_deadline" ] || return 1
		sleep 0.02
	done
}

wait_until() {
	kit_state_wanted=$1
	shift
	kit_poll 60 "$@" || fail "waited too long: $kit_state_wanted"
}

kit_is_gone() {
	! kill -0 "$1" 2>/dev/null
}

# ---- mounts ------------------------------------------------------------------

# The program; nothing it does for a command takes long.
shalefs() {
	timeout 300 "$program" "$@"
}

is_mounted() {
	awk -v mnt="$1" '$5 == mnt && / - fuse\.shalefs / { found = 1 }
		END { exit !found }' /proc/self/mountinfo
}

kit_pid_file() {
	printf '%s/%s.pid\n' "$kit_state" "$(basename "$1")"
}

daemon_pid() {
	cat "$(kit_pid_file "$1")"
}

# Answered by a daemon, and not by what lies under the mount, as between the
# detaching of a dead mount and the next.
kit_is_usable_or_gone() {
	[ "$(stat -f -c %t "$2" 2>/dev/null)" = 65735546 ] || kit_is_gone "$1"
}

# try_mount STORE MOUNTPOINT [OPTIONS]: false if the daemon ended instead; what
# it said is in $kit_log. Both paths absolute; mountpoints of one test differ
# in their last component.
try_mount() {
	mkdir -p "$2" 2>/dev/null || :
	kit_log=$scratch/$(basename "$2").log
	"$program" mount -f -o "${3:-rw}" "$1" "$2" >>"$kit_log" 2>&1 &
	kit_pid=$!
	echo "$kit_pid" >"$(kit_pid_file "$2")"
	wait_until "$2 can be used" kit_is_usable_or_gone "$kit_pid" "$2"
	! kit_is_gone "$kit_pid" || {
		rm -f "$(kit_pid_file "$2")"
		return 1
	}
}

start_mount() {
	try_mount "$@" || fail "cannot mount $1: $(cat "$kit_log")"
}

kit_reap() {
	kit_code=0
	wait "$1" || kit_code=$?
}

# stop_mount MOUNTPOINT: unmount; the daemon ends without a complaint.
stop_mount() {
	kit_pid=$(daemon_pid "$1")
	shalefs umount "$1" || fail "cannot unmount $1"
	kit_reap "$kit_pid"
	rm -f "$(kit_pid_file "$1")"
	[ "$kit_code" -eq 0 ] || fail "the daemon of $1 exited with $kit_code"
	kit_check_reports
}

# kill_daemon MOUNTPOINT: leaves a dead mount.
kill_daemon() {
	kit_pid=$(daemon_pid "$1")
	kill -KILL "$kit_pid" || fail "the daemon of $1 died by itself"
	kit_reap "$kit_pid" 2>/dev/null
	rm -f "$(kit_pid_file "$1")"
	kit_check_reports
}

check_clean() {
	claim "${2:-check finds no fault}" shalefs check "$1"
}

# figure SOURCE KEY: one number of stats --json; a key as in credit.used_bytes
# or levels.0.files.
figure() {
	shalefs stats --json "$1" | "$tools/json_figure" "$2"
}

# What a folder holds, names and contents, but for sockets: compare it before
# and after something that must change nothing.
fingerprint() {
	(cd "$1" && find . ! -type s -printf '%y %m %s %p\n' | sort &&
		find . -type f -print0 | sort -z | xargs -0 -r cksum) | cksum
}

# copy_store FROM TO: of one that nobody has open.
copy_store() {
	rm -rf "$2"
	cp -a "$1" "$2"
}
