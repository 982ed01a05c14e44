#!/bin/sh
# SPDX-License-Identifier: MIT
# lint_headers.sh: each header compiles alone, so that it includes what it needs.
# CC and LINT_CPPFLAGS come from make; by hand, pkg-config is asked.
set -eu
cd "${srcdir:-$(dirname "$0")/../..}"
[ -f engine/lsm.h ] || { echo "no engine/lsm.h in $PWD"; exit 1; }

cc=${CC:-cc}
flags=${LINT_CPPFLAGS:-"-D_GNU_SOURCE -DFUSE_USE_VERSION=314 $(
	pkg-config --cflags fuse3 jansson check)"}

bad=0
for header in $(find engine src tests -name '*.h' | sort); do
	# An empty program besides, as ISO C wants one declaration. Unquoted:
	# flags are words, among them strings with escaped quotes.
	printf '#include "%s"\nextern int lint_headers;\n' "$header" |
		eval "$cc $flags" -Iengine -Isrc -I. -std=gnu11 -Wall -Wextra \
			-Werror -fsyntax-only -x c - || {
		echo "$header: does not compile alone"
		bad=1
	}
done
exit $bad
