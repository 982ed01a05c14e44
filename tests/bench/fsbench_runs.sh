#!/bin/sh
# SPDX-License-Identifier: MIT
# fsbench_runs.sh: fsbench over our filesystem and others, all on one loop device
# with direct I/O, made on one disk. Needs root. Nothing is left mounted, however
# it ends.
set -eu
PATH=$PATH:/sbin:/usr/sbin

usage() {
	cat <<'END'
Usage: fsbench_runs.sh [OPTION]... [FOLDER] [-- OPTION-OF-FSBENCH...]
FOLDER is on the disk to measure (default: .).

  -n A,B...  these filesystems (default: shalefs,ext4,null,xfs,btrfs,zfs-fuse,
             bindfs,passthrough_ll); ratios are to the first. shalefs-OPTION is
             ours mounted with -o OPTION
  -z SIZE    of the device, as for truncate(1) (4G)
  -k         keep what is prepared in FOLDER for the next run: the image of the
             device, and the source tree that is cut out of Debian's package
             linux-source by the scale
  -p         prepare that and stop: it takes a while, and is not measured
  -h         this text

From the environment: BUILDDIR with tests/bench/fsbench, SHALEFS the program.
END
}

top_srcdir=$(cd "$(dirname "$0")/../.." && pwd -P)
builddir=${BUILDDIR:-$PWD}
builddir=$(cd "$builddir" && pwd -P)
names=shalefs,ext4,null,xfs,btrfs,zfs-fuse,bindfs,passthrough_ll
size=4G
keep=
prepare_only=
while getopts n:z:kph option; do
	case $option in
	n) names=$OPTARG ;;
	z) size=$OPTARG ;;
	k) keep=yes ;;
	p) prepare_only=yes keep=yes ;;
	h)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
done
shift $((OPTIND - 1))
disk=.
if [ $# -gt 0 ] && [ "$1" != -- ]; then
	disk=$1
	shift
fi
[ "${1-}" != -- ] || shift
[ "$(id -u)" -eq 0 ] || {
	echo "fsbench_runs.sh: loop devices need root" >&2
	exit 1
}
disk=$(cd "$disk" && pwd -P)

# The scale decides how much of the source tree is cut out.
scale=0.1
take=
for word; do
	case $take$word in
	-s) take=yes ;;
	-s* | --scale=*) scale=${word#-s} scale=${scale#--scale=} ;;
	yes*) scale=$word take= ;;
	esac
done

work=$(mktemp -d "$disk/fsbench.XXXXXX")
image=$disk/fsbench.image
tar=$disk/fsbench-$scale.tar
bench=
loop=

cleanup() {
	status=$?
	trap - EXIT
	set +e
	if [ -n "$bench" ]; then
		kill -TERM "$bench" 2>/dev/null
		wait "$bench"
	fi
	if [ -n "$loop" ]; then
		for name in $(echo "$names" | tr , ' '); do
			mountpoint -q "$work/mnt" || mountpoint -q "$work/back" ||
				[ -e "$work/pids" ] || break
			"$recipe" end "$name" "$work/mnt"
		done
		losetup -d "$loop"
	fi
	[ -n "$keep" ] || rm -f "$image" "$tar"
	rm -rf --one-file-system "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# ---- what is prepared ---------------------------------------------------------

# Written once in full: a filesystem that grows into a sparse file would be
# charged for the host's own allocations.
make_image() {
	bytes=$(numfmt --from=iec "$size")
	[ "$(stat -c %s "$image" 2>/dev/null || echo 0)" -ne "$bytes" ] || return 0
	rm -f "$image"
	dd if=/dev/zero of="$image" bs=4M count="$bytes" iflag=count_bytes \
		oflag=direct conv=fsync status=none
}

# The first files of these folders of the kernel, 78,000 at scale 1.
make_tar() {
	[ ! -s "$tar" ] || return 0
	source=$(find /usr/src -maxdepth 1 -name 'linux-source-*.tar.xz' | sort |
		tail -n 1)
	[ -n "$source" ] || {
		echo "left out: all that needs a source tree:" \
			"no package linux-source"
		return 0
	}
	mkdir "$work/source"
	tar -C "$work/source" --strip-components=1 -xf "$source"
	(
		cd "$work/source"
		count=$(find . -type f | wc -l)
		find kernel mm lib fs include ipc block crypto init net security \
			sound tools scripts drivers arch Documentation -type f |
			head -n "$(awk "BEGIN { print int($count * $scale) }")" \
				>"$work/files"
		tar -cf "$tar.new" --no-recursion -T "$work/files"
	)
	mv "$tar.new" "$tar"
	rm -rf "$work/source"
}

make_image
make_tar
[ -z "$prepare_only" ] || exit 0
if [ -s "$tar" ]; then
	set -- --tar="$tar" "$@"
	cat "$tar" >/dev/null # into the cache: it is not what is measured
fi

# ---- the run ------------------------------------------------------------------

loop=$(losetup --show --direct-io=on -f "$image")
mkdir "$work/mnt" "$work/back" "$work/scratch"
chmod 755 "$work"
chmod 1777 "$work/scratch"
recipe=$top_srcdir/tests/bench/fsbench_fs.sh
FSBENCH_LOOP=$loop
FSBENCH_STATE=$work
SHALEFS=${SHALEFS:-$builddir/shalefs}
BUILDDIR=$builddir
export FSBENCH_LOOP FSBENCH_STATE SHALEFS BUILDDIR

for name in $(echo "$names" | tr , ' '); do
	set -- "$@" "$name=$work/mnt"
done
# In the background, so that a signal is heard at once.
"$builddir/tests/bench/fsbench" --recipe="$recipe" \
	--sources="$top_srcdir/engine" --scratch="$work/scratch" "$@" &
bench=$!
status=0
wait "$bench" || status=$?
bench=
exit "$status"
