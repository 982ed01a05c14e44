#!/bin/sh
# SPDX-License-Identifier: MIT
# lint_includes.sh: a file includes only what its folder may see.
set -eu
cd "${srcdir:-$(dirname "$0")/../..}"
[ -f engine/lsm.h ] || { echo "no engine/lsm.h in $PWD"; exit 1; }

# A folder, then the folders that it may include from. lsm.h is for all.
rules='
engine          base
engine/base     base
engine/io       base io
engine/mem      base mem
engine/wal      base io wal
engine/seg      base io seg
engine/sst      base io seg sst
engine/tree     base io wal seg sst tree
engine/compact  base io seg sst tree compact
engine/store    base io mem wal seg sst tree compact store
src/fs          base fs
src/daemon      base fs daemon
src/cli         base fs daemon cli
'

bad=0
fault() {
	echo "$1"
	bad=1
}

for file in $(find engine src -name '*.[ch]' | sort); do
	folder=$(dirname "$file")
	allowed=$(printf '%s\n' "$rules" |
		awk -v folder="$folder" '$1 == folder { $1 = ""; print }')
	for name in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file"); do
		case $name in
		lsm.h) continue ;;
		*/*) from=${name%%/*} ;;
		*) from=unqualified ;;
		esac
		case " $allowed " in
		*" $from "*) ;;
		*) fault "$file: may not include \"$name\"" ;;
		esac
	done
done

# only HEADERS FILES: headers that match the one expression are included only by
# files that match the other.
only() {
	found=$(grep -rlE --include='*.[ch]' \
		"^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($1)" \
		engine src | grep -vE "^($2)") || return 0
	fault "may not include $1:
$found"
}
only '(fuse3/)?fuse' 'src/daemon/|src/cli/'
only 'jansson' 'src/daemon/|src/cli/'
only 'lz4' 'engine/base/codec\.'
only 'xxhash' 'engine/base/checksum\.'
only 'pthread|threads\.h' 'engine/base/sync\.'
only 'fcntl|dirent|sys/(stat|mman|uio|file|ioctl)\.h' 'engine/io/|src/'
only 'unistd' 'engine/io/|engine/base/sync\.|src/' # sync: for syscall()
only 'check\.h' 'tests/'
exit $bad
