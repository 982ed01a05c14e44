#!/bin/sh
# SPDX-License-Identifier: MIT
# fsbench_fs.sh ACTION NAME FOLDER: how each filesystem is made, mounted,
# unmounted and weighed for fsbench (tests/bench/fsrecipe.h has the actions).
#
# All lie on one loop device: ext4, xfs, btrfs and zfs themselves, the others in
# an ext4 on it. From the environment: FSBENCH_LOOP the device, FSBENCH_STATE a
# folder for what is mounted where, SHALEFS and BUILDDIR for our programs.
set -eu
PATH=$PATH:/sbin:/usr/sbin

action=$1
name=$2
folder=$3
loop=$FSBENCH_LOOP
back=$FSBENCH_STATE/back # where the ext4 below is mounted
store=$back/store
pids=$FSBENCH_STATE/pids
tools=$BUILDDIR/tests/bench
pool=fsbench

# The kind comes before the first hyphen, options of shalefs after it:
# shalefs-writeback is mounted with -o writeback.
kind=${name%%-*}
case $name in
zfs-fuse) kind=zfs ;;
shalefs-*) options=,${name#shalefs-} ;;
esac

not_here() {
	echo "$1"
	exit 77
}

# Waits until a command succeeds, or 20 seconds.
await() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ "$tries" -lt 1000 ] || {
			echo "waited in vain for: $*"
			return 1
		}
		sleep 0.02
	done
}

is_gone() {
	! kill -0 "$1" 2>/dev/null
}

is_mounted() {
	mountpoint -q "$1"
}

need() {
	command -v "$1" >/dev/null || not_here "$1 is not installed"
}

need_kernel() {
	grep -qw "$1" /proc/filesystems || modprobe "$1" 2>/dev/null ||
		not_here "the kernel has no $1"
}

check() {
	case $kind in
	ext4 | xfs | btrfs)
		need "mkfs.$kind"
		need_kernel "$kind"
		;;
	zfs) need zfs-fuse && need zpool ;;
	bindfs) need bindfs ;;
	passthrough_ll)
		[ -x "$tools/passthrough_ll" ] ||
			not_here "make tests/bench/passthrough_ll did not build it"
		;;
	shalefs | null) ;;
	*)
		echo "$name: no such filesystem"
		exit 1
		;;
	esac
}

# ---- what lies below ----------------------------------------------------------

format_ext4() {
	mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 \
		"$loop"
}

# Inode tables are not zeroed behind the benchmark's back.
mount_ext4() {
	mount -t ext4 -o noinit_itable "$loop" "$1"
}

# Who holds it open may need a moment to end.
leave() {
	! is_mounted "$1" || await umount "$1"
}

start() {
	"$@" >"$FSBENCH_STATE/daemon.log" 2>&1 </dev/null &
	echo $! >>"$pids"
}

await_daemons() {
	[ -e "$pids" ] || return 0
	while read -r pid; do
		await is_gone "$pid" || kill -KILL "$pid"
	done <"$pids"
	rm -f "$pids"
}

start_zfs() {
	start zfs-fuse --no-daemon
	await zpool list >/dev/null 2>&1
}

# ---- actions ------------------------------------------------------------------

make_one() {
	mkdir -p "$folder" "$back"
	case $kind in
	ext4) format_ext4 ;;
	xfs) mkfs.xfs -q -f -K "$loop" ;;
	btrfs) mkfs.btrfs -q -f -K "$loop" ;;
	zfs)
		start_zfs
		dd if=/dev/zero of="$loop" bs=1M count=4 status=none
		zpool create -f -O compression=on -m "$folder" "$pool" "$loop"
		zpool export "$pool"
		;;
	*)
		format_ext4
		mount_ext4 "$back"
		if [ "$kind" = shalefs ]; then
			"$SHALEFS" mkfs "$store" >/dev/null
		else
			mkdir "$store"
		fi
		umount "$back"
		;;
	esac
}

mount_one() {
	case $kind in
	ext4) mount_ext4 "$folder" ;;
	xfs) mount -t xfs "$loop" "$folder" ;;
	btrfs) mount -t btrfs -o compress=lzo "$loop" "$folder" ;;
	zfs) zpool import -d "$(dirname "$loop")" "$pool" ;;
	shalefs)
		mount_ext4 "$back"
		"$SHALEFS" mount -o "allow_other${options-}" "$store" "$folder"
		;;
	bindfs)
		mount_ext4 "$back"
		start bindfs -f "$store" "$folder"
		;;
	passthrough_ll)
		mount_ext4 "$back"
		start "$tools/passthrough_ll" -f -o "source=$store,allow_other" \
			"$folder"
		;;
	null)
		# What it holds is gone when it ends, so it stays mounted.
		is_mounted "$folder" ||
			start "$tools/null_fuse" -f -o allow_other "$folder"
		;;
	esac
	await is_mounted "$folder"
}

unmount_one() {
	case $kind in
	null) ;;
	zfs) await zpool export "$pool" ;;
	shalefs)
		await "$SHALEFS" umount "$folder"
		leave "$back"
		;;
	ext4 | xfs | btrfs) leave "$folder" ;;
	*)
		leave "$folder"
		await_daemons
		leave "$back"
		;;
	esac
}

# What a filesystem of the kernel calls used, or the files of a store.
weigh() {
	case $kind in
	null) echo 0 ;;
	ext4 | xfs | btrfs | zfs)
		mount_one
		df --block-size=1 --output=used "$folder" | tail -n 1
		unmount_one
		;;
	*)
		mount_ext4 "$back"
		du -s --block-size=1 "$store" | cut -f 1
		umount "$back"
		;;
	esac
}

# A server that was not stopped, as its file of pids says.
end_servers() {
	for file in "$folder"/fsbench-*/*/postmaster.pid; do
		[ -s "$file" ] || continue
		pid=$(head -n 1 "$file")
		kill -QUIT "$pid" 2>/dev/null || continue
		await is_gone "$pid" || kill -KILL "$pid"
	done
}

# Whatever state it is in: nothing here may fail before all was tried.
end_one() {
	set +e
	end_servers
	if [ "$kind" = zfs ] && [ -e "$pids" ]; then
		await zpool destroy -f "$pool" >/dev/null 2>&1
		while read -r pid; do kill -TERM "$pid"; done <"$pids"
	fi
	if is_mounted "$folder"; then
		if [ "$kind" = shalefs ]; then
			"$SHALEFS" umount "$folder" || umount -l "$folder"
		else
			await umount "$folder" || umount -l "$folder"
		fi
	fi
	await_daemons
	! is_mounted "$back" || await umount "$back" || umount -l "$back"
	! is_mounted "$folder" && ! is_mounted "$back"
}

case $action in
check) check ;;
make) make_one ;;
mount) mount_one ;;
unmount) unmount_one ;;
weigh) weigh ;;
end) end_one ;;
*)
	echo "no action $action"
	exit 2
	;;
esac
