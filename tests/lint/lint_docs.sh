#!/bin/sh
# SPDX-License-Identifier: MIT
# lint_docs.sh: what comments and pages say of files is true.
#
#   1. A file that is named in a comment or in docs/ exists, or docs/layout.md
#      calls it planned.
#   2. Each source file has a row in docs/layout.md.
#   3. Each row there has its files, or says *planned*, and not both.
#
# A row begins with names in backquotes. Under "## engine/" and "## src/" they are
# modules ("base/buf" stands for buf.c and buf.h of that folder) or files;
# elsewhere they are files, from the top of the tree.
set -eu
cd "${srcdir:-$(dirname "$0")/../..}"
layout=docs/layout.md
[ -f "$layout" ] || { echo "no $layout in $PWD"; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/lint_docs.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# ---- the rows ------------------------------------------------------------------

# FLAG FOLDER NAME for each name that begins a row. FLAG is planned or here.
awk '
BEGIN { folder = "-" }
/^## / {
	folder = "-"
	if ($2 == "engine/" || $2 == "src/")
		folder = $2
}
/^\| *`/ {
	flag = index($0, "*planned*") ? "planned" : "here"
	cell = $0
	sub(/^\| */, "", cell)
	sub(/ *\|.*/, "", cell)
	while (match(cell, /`[^`]*`/)) {
		print flag, folder, substr(cell, RSTART + 1, RLENGTH - 2)
		cell = substr(cell, RSTART + RLENGTH)
	}
}' "$layout" >"$work/rows"
[ -s "$work/rows" ] || { echo "$layout has no rows"; exit 1; }

# The files that a row stands for, as FLAG FILE; what exists decides.
while read -r flag folder name; do
	[ "$folder" != - ] || folder=
	case $name in
	*.*) echo "$flag $folder$name" ;;
	*/ | */\*) ;;
	*)
		some=no
		for file in "$folder$name.c" "$folder$name.h"; do
			if [ -e "$file" ]; then
				echo "$flag $file"
				some=yes
			fi
		done
		[ "$some" = yes ] || echo "$flag $folder$name.c"
		;;
	esac
done <"$work/rows" >"$work/files"

bad=0
fault() {
	echo "$1"
	bad=1
}

while read -r flag file; do
	case $flag in
	here) [ -e "$file" ] ||
		fault "$layout: $file does not exist and is not *planned*" ;;
	planned) [ ! -e "$file" ] ||
		fault "$layout: $file exists and is still *planned*" ;;
	esac
done <"$work/files"

# ---- every source file has one -------------------------------------------------

for file in $(find engine src tests/support mount-helpers -type f \
	\( -name '*.[ch]' -o -name '*.in' \) | sort); do
	grep -qxF "here $file" "$work/files" ||
		fault "$file: has no row in $layout"
done

# ---- every name has a file -----------------------------------------------------

# FILE:NAME for whatever looks like a file of ours in pages and comments.
pattern='[A-Za-z0-9_./-]*[A-Za-z0-9_]\.(c|h|sh|md|inc|am|ac|in)'
for file in README.md docs/*.md; do
	[ -f "$file" ] || continue
	# Web addresses are not ours.
	sed 's|https\{0,1\}://[^ )>]*||g' "$file" |
		grep -oE "(^|[^A-Za-z0-9_./<*-])$pattern([^A-Za-z0-9_]|\$)" |
		grep -oE "$pattern" | sed "s|^|$file:|" || true
done >"$work/named"
for file in $(find engine src tests -name '*.[ch]' | sort); do
	awk '
	{
		line = $0
		text = ""
		while (line != "") {
			if (inside) {
				end = index(line, "*/")
				if (end == 0) {
					text = text " " line
					break
				}
				text = text " " substr(line, 1, end - 1)
				line = substr(line, end + 2)
				inside = 0
			} else {
				start = index(line, "/*")
				if (start == 0)
					break
				line = substr(line, start + 2)
				inside = 1
			}
		}
		if (text != "")
			print text
	}' "$file" |
		grep -oE "(^|[^A-Za-z0-9_./<*-])$pattern([^A-Za-z0-9_]|\$)" |
		grep -oE "$pattern" | sed "s|^|$file:|" || true
done >>"$work/named"

find . -path ./.git -prune -o -path ./build -prune -o -type f -print |
	sed 's|^\./||' >"$work/tree"
sed -n 's/^planned //p' "$work/files" >>"$work/tree"

# A name holds if some file is called so, seen from the top or from a folder on
# the include path, or, with no folder in it, from anywhere. A word in capitals
# stands for any name.
sort -u "$work/named" | awk -F: -v tree="$work/tree" '
BEGIN {
	while ((getline path < tree) > 0) {
		known[path] = 1
		for (rest = path; (at = index(rest, "/")) > 0; ) {
			rest = substr(rest, at + 1)
			known[rest] = 1
		}
	}
}
{
	name = $2
	sub(/^(\.\.?\/)+/, "", name)
	if (!(name in known) && (name ~ /README/ || name !~ /(^|[\/_])[A-Z][A-Z]+[\/.]/)) {
		print $1 ": names " $2 ", which does not exist"
		bad = 1
	}
}
END { exit bad }' || bad=1
exit $bad
