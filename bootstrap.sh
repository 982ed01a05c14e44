#!/bin/sh
# SPDX-License-Identifier: MIT
# bootstrap.sh: from a fresh checkout to a mounted filesystem, or to a tested or a
# measured one.
# Everything that it prints on stdout is for pasting; the rest goes to stderr.
set -eu

top=$(cd "$(dirname "$0")" && pwd -P)

usage() {
	cat <<'END'
Usage: ./bootstrap.sh run [STORE MOUNTPOINT]
       ./bootstrap.sh check
       ./bootstrap.sh bench [ARGUMENT]...
       ./bootstrap.sh --help

run    install what is missing, build in build/run, make the store if there is
       none, mount it, and print three commands to try next. Without arguments
       the store and the mountpoint are shalefs-demo/store and shalefs-demo/mnt
       beside the checkout.
check  install what is missing, build in build/check, run the whole test suite.
bench  install what is missing, other engines too, build in build/bench, measure
       ours beside them. The arguments are those of kvbench: bench --help.

All can be run again at any time. CC and CFLAGS are passed on to configure.
END
}

# What has to be there, with its name for each package manager; "-" where another
# row or the system itself brings it. First word: who needs it. apt is tested (on
# Debian 12); the names for dnf, pacman and apk are UNTESTED.
#
# for   apt             dnf                 pacman      apk
packages='
build   gcc             gcc                 gcc         gcc
build   libc6-dev       glibc-devel         glibc       musl-dev
build   -               kernel-headers      -           linux-headers
build   make            make                make        make
build   autoconf        autoconf            autoconf    autoconf
build   automake        automake            automake    automake
build   pkg-config      pkgconf-pkg-config  pkgconf     pkgconf
build   liblz4-dev      lz4-devel           lz4         lz4-dev
build   libxxhash-dev   xxhash-devel        xxhash      xxhash-dev
build   libjansson-dev  jansson-devel       jansson     jansson-dev
build   libfuse3-dev    fuse3-devel         fuse3       fuse3-dev
build   fuse3           fuse3               fuse3       fuse3
check   check           check-devel         check       check-dev
check   -               libasan             -           -
check   -               libubsan            -           -
check   -               libtsan             -           -
check   bash            bash                bash        bash
check   rsync           rsync               rsync       rsync
check   git             git                 git         git
check   sqlite3         sqlite              sqlite      sqlite
check   attr            attr                attr        attr
check   acl             acl                 acl         acl
check   procps          procps-ng           procps-ng   procps
check   e2fsprogs       e2fsprogs           e2fsprogs   e2fsprogs
check   util-linux      util-linux          util-linux  util-linux
bench   librocksdb-dev  rocksdb-devel       rocksdb     rocksdb-dev
bench   libleveldb-dev  leveldb-devel       leveldb     leveldb-dev
bench   liblmdb-dev     lmdb-devel          lmdb        lmdb-dev
'

say() {
	printf 'bootstrap.sh: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

need_fuse() {
	[ -c /dev/fuse ] ||
		die "/dev/fuse is missing: load the module (modprobe fuse)," \
			"or start the container with --device /dev/fuse"
	(exec 3<>/dev/fuse) 2>/dev/null ||
		die "/dev/fuse cannot be opened: this user or container may" \
			"not use FUSE"
}

# ---- packages -----------------------------------------------------------------

find_manager() {
	for manager in apt-get dnf pacman apk; do
		if command -v "$manager" >/dev/null 2>&1; then
			return
		fi
	done
	manager=none
}

is_installed() {
	case $manager in
	apt-get)
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = \
			installed ]
		;;
	dnf) rpm -q --whatprovides "$1" >/dev/null 2>&1 ;;
	pacman) pacman -Q "$1" >/dev/null 2>&1 ;;
	apk) apk info -e "$1" >/dev/null 2>&1 ;;
	esac
}

# The names that `build` (and $1, `check` or `bench`) need and that are missing.
missing_packages() {
	case $manager in
	apt-get) column=2 ;;
	dnf) column=3 ;;
	pacman) column=4 ;;
	apk) column=5 ;;
	esac
	printf '%s\n' "$packages" |
		awk -v goal="$1" -v column="$column" \
			'NF && ($1 == "build" || $1 == goal) && $column != "-" {
				print $column
			}' |
		while read -r name; do
			is_installed "$name" || printf '%s ' "$name"
		done
}

# Run as root, by sudo where we are not.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# $1: the names, as words.
install_words() {
	set -f
	# shellcheck disable=SC2086 # names are words
	set -- $1
	case $manager in
	apt-get)
		as_root apt-get update -q &&
			as_root env DEBIAN_FRONTEND=noninteractive apt-get \
				install -q -y --no-install-recommends "$@"
		;;
	dnf) as_root dnf install -y "$@" ;;
	pacman) as_root pacman -S --needed --noconfirm "$@" ;;
	apk) as_root apk add "$@" ;;
	esac
}

install_packages() {
	find_manager
	if [ "$manager" = none ]; then
		say "no apt-get, dnf, pacman or apk: installing nothing;" \
			"see the table in bootstrap.sh for what is needed"
		return
	fi
	missing=$(missing_packages "$1")
	[ -n "$missing" ] || return 0
	say "about to install with $manager: $missing"
	[ "$manager" = apt-get ] ||
		say "the package names for $manager are untested"
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
		die "installing needs root or sudo"
	fi
	(install_words "$missing") >&2 || die "could not install: $missing"
}

# ---- building -----------------------------------------------------------------

make_configure() {
	if [ -f "$top/configure" ] && [ -f "$top/Makefile.in" ] &&
		[ -z "$(cd "$top" && find configure.ac Makefile.am \
			./*/Makefile.inc -newer configure)" ]; then
		return
	fi
	say "running autoreconf"
	(cd "$top" && autoreconf -fi) >&2 || die "autoreconf failed"
}

# configure_in DIR ARGUMENT...: unless it was, with these arguments, since
# configure was made.
configure_in() {
	build=$1
	shift
	stamp=$build/.configure-arguments
	wanted="$* CC=${CC-} CFLAGS=${CFLAGS-}"
	if [ -f "$build/config.status" ] && [ -f "$stamp" ] &&
		[ "$(cat "$stamp")" = "$wanted" ] &&
		[ -z "$(find "$top/configure" -newer "$build/config.status")" ]
	then
		return
	fi
	say "configuring in $build"
	mkdir -p "$build"
	rm -f "$stamp"
	(cd "$build" && "$top/configure" -q "$@") >&2 ||
		die "configure failed; see $build/config.log"
	printf '%s\n' "$wanted" >"$stamp"
}

# build_in DIR ARGUMENT...: configure and make.
build_in() {
	make_configure
	configure_in "$@"
	say "building in $1"
	make -C "$1" -j2 >&2 || die "the build in $1 failed"
}

# ---- run ----------------------------------------------------------------------

# The absolute path of $1, whose folder is made where it is missing. The last
# component is not looked at: it may be a mount whose daemon died.
absolute() {
	path_dir=$(dirname -- "$1")
	mkdir -p -- "$path_dir"
	path_dir=$(cd -- "$path_dir" && pwd -P)
	printf '%s/%s\n' "${path_dir%/}" "$(basename -- "$1")"
}

# The source of what is mounted on $1; nothing where nothing is. A path stands
# in mountinfo with its spaces, tabs, newlines and backslashes in octal.
mounted_on() {
	DIR=$1 awk '
	function plain(text, out, at) {
		while ((at = match(text, /\\[0-7][0-7][0-7]/)) > 0) {
			out = out substr(text, 1, at - 1) \
				sprintf("%c", substr(text, at + 1, 1) * 64 + \
				substr(text, at + 2, 1) * 8 + \
				substr(text, at + 3, 1))
			text = substr(text, at + 4)
		}
		return out text
	}
	plain($5) == ENVIRON["DIR"] {
		for (i = 6; $i != "-"; i++)
			;
		found = plain($(i + 2))
	}
	END { if (found != "") print found }' /proc/self/mountinfo
}

quoted() {
	printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

# A path beside the store that is not taken.
free_fork_name() {
	number=1
	while [ -e "$1-fork$number" ]; do
		number=$((number + 1))
	done
	printf '%s-fork%d\n' "$1" "$number"
}

print_next() {
	program=$(quoted "$top/build/run/shalefs")
	printf 'cp -a %s %s/\n' "$(quoted "$top/docs")" "$(quoted "$2")"
	printf '%s fork %s %s\n' "$program" "$(quoted "$2")" \
		"$(quoted "$(free_fork_name "$1")")"
	printf '%s umount %s\n' "$program" "$(quoted "$2")"
}

run() {
	need_fuse
	install_packages build
	build_in "$top/build/run"

	shalefs=$top/build/run/shalefs
	store=$(absolute "$1")
	mountpoint=$(absolute "$2")
	source=$(mounted_on "$mountpoint")
	if [ "$source" = "$store" ] && [ -d "$mountpoint/." ]; then
		say "$store is mounted on $mountpoint already"
		print_next "$store" "$mountpoint"
		return
	fi
	[ -n "$source" ] || mkdir -p -- "$mountpoint"
	[ -e "$store/SHALEFS" ] || "$shalefs" mkfs "$store" >&2
	"$shalefs" mount "$store" "$mountpoint" >&2
	say "$store is mounted on $mountpoint; to go on, for example:"
	print_next "$store" "$mountpoint"
}

# ---- check --------------------------------------------------------------------

check() {
	need_fuse
	install_packages check
	SHALEFS_REQUIRE_FUSE=1
	export SHALEFS_REQUIRE_FUSE
	build_in "$top/build/check" --enable-werror
	# The test programs in parallel; then the tests, one after another, since
	# some of them measure.
	make -C "$top/build/check" -j2 check TESTS= >&2 ||
		die "the tests could not be built"
	make -C "$top/build/check" check VERBOSE=1 >&2
}

# ---- bench --------------------------------------------------------------------

bench() {
	install_packages bench
	build_in "$top/build/bench" --disable-asserts
	make -C "$top/build/bench" -j2 tests/bench/kvbench >&2 ||
		die "the bench could not be built"
	exec "$top/build/bench/tests/bench/kvbench" "$@"
}

case ${1-} in
run)
	case $# in
	1) run "$top/../shalefs-demo/store" "$top/../shalefs-demo/mnt" ;;
	3) run "$2" "$3" ;;
	*)
		usage >&2
		exit 2
		;;
	esac
	;;
check)
	[ $# -eq 1 ] || { usage >&2; exit 2; }
	check
	;;
bench)
	shift
	bench "$@"
	;;
--help | -h) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
