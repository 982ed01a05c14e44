#!/bin/sh
# SPDX-License-Identifier: MIT
# fsbench_works.sh: fsbench runs its workloads in plain folders and by a recipe,
# prints figures for each phase, names what it leaves out, fails where something
# failed, and leaves nothing behind.
set -eu

fsbench=${BUILDDIR:-.}/tests/bench/fsbench
work=$(mktemp -d "${TMPDIR:-/tmp}/fsbench_works.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

fault() {
	echo "$1"
	exit 1
}

mkdir "$work/a" "$work/b" "$work/scratch"
plain=small,seq-noise,random-read-4,overwrite-1,append-4
bench() {
	"$fsbench" --scale=0.0001 --rounds=1 --scratch="$work/scratch" "$@"
}

# ---- plain folders ------------------------------------------------------------

bench -w "$plain" --json="$work/figures" "a=$work/a" "b=$work/b" \
	>"$work/out" || fault "$(tail -n 20 "$work/out")"
"$fsbench" --list | awk -v want="$plain" '
	BEGIN { count = split(want, names, ",") }
	/^[a-z]/ { on = 0; for (i = 1; i <= count; i++) on += names[i] == $1 }
	/^ / && on { for (i = 1; i <= NF; i++) print $i }' | sort -u \
	>"$work/phases"
[ "$(wc -l <"$work/phases")" -ge 10 ] || fault "it lists too few phases"
while read -r phase; do
	[ "$(grep -c "\"phase\": \"$phase\"" "$work/figures")" -ge 2 ] ||
		fault "no figures of $phase in both folders"
done <"$work/phases"
if grep -q '"seconds": 0.0,' "$work/figures"; then
	fault "a phase took no time"
fi
rmdir "$work/a" "$work/b" || fault "it left something behind"

# ---- what is left out is named ------------------------------------------------

mkdir "$work/a"
bench -w tree,append-1 "a=$work/a" >"$work/out" || fault "without --tar"
grep -q '^left out: tree: ' "$work/out" || fault "tree is not named"

# ---- a recipe -----------------------------------------------------------------

cat >"$work/recipe" <<'END'
#!/bin/sh
echo "$1 $2" >>"$(dirname "$0")/calls"
case $1,$2 in
check,absent) echo "not on this machine"; exit 77 ;;
mount,broken) exit 1 ;;
weigh,*) echo 12345 ;;
end,*) rm -rf "$3"/fsbench-* ;;
esac
END
chmod +x "$work/recipe"
bench -w small --recipe="$work/recipe" --json="$work/figures" \
	"absent=$work/b" "here=$work/a" >"$work/out" ||
	fault "$(tail -n 20 "$work/out")"
grep -q '^left out: absent: not on this machine' "$work/out" ||
	fault "what is absent is not named"
grep -q '"bytes": 12345.0' "$work/figures" || fault "it was not weighed"
{
	echo check absent
	for action in check make mount unmount weigh mount unmount mount \
		unmount mount end; do
		echo "$action here"
	done
} >"$work/wanted"
diff "$work/wanted" "$work/calls" || fault "other actions than those"

bench -w small --recipe="$work/recipe" "broken=$work/b" "here=$work/a" \
	>"$work/out" 2>"$work/err" && fault "a failure is a success"
grep -q 'broken: cannot mount' "$work/err" || fault "the failure is not named"
grep -q '^  here ' "$work/out" || fault "one failure stopped the others"
[ "$(tail -n 1 "$work/calls")" = "end here" ] || fault "it was not ended"
grep -q '^end broken' "$work/calls" || fault "what is broken was not ended"

# ---- stopping -----------------------------------------------------------------

"$fsbench" --scale=100 --rounds=1 -w small --recipe="$work/recipe" \
	"here=$work/a" >"$work/out" 2>&1 &
pid=$!
until ls "$work/a"/fsbench-*/folder-0001 >/dev/null 2>&1; do
	kill -0 "$pid" || fault "it ended by itself"
done
kill -TERM "$pid"
wait "$pid" && fault "it was stopped, and says that all is well"
rmdir "$work/a" || fault "stopped, it left something behind"

# ---- mistakes -----------------------------------------------------------------

for mistake in --workloads=none --scale=0 --rounds=0 --no-such relative=a \
	--recipe=relative; do
	status=0
	"$fsbench" "$mistake" "a=$work" >/dev/null 2>"$work/err" || status=$?
	[ "$status" -eq 2 ] || fault "$mistake: exit status $status"
	[ -s "$work/err" ] || fault "$mistake: nothing was said"
done
if bench -w append-1 "a=$work/missing" >/dev/null 2>&1; then
	fault "a folder that is not there was accepted"
fi
