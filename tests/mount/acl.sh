#!/bin/sh
# SPDX-License-Identifier: MIT
# acl.sh: POSIX ACLs with Debian's setfacl and getfacl: what they say, what they
# do to modes, who inherits them, whom they let in; and that who has none pays
# nothing for them.
. "$(dirname "$0")/mount_kit.sh"
kit_need_root acl
kit_need_tools setfacl getfacl
kit_begin

store=$scratch/store
mnt=$scratch/mnt

as_nobody() {
	runuser -u nobody -- "$@"
}

# The ACL of a file on one line, without comments.
acl_of() {
	getfacl -cpn "$1" | grep -v '^$' | tr '\n' ' ' | tr -s ' \t' ' '
}

# claim_acl TEXT FILE ACL
claim_acl() {
	claim "$1" test "$(acl_of "$2")" = "$3 " || acl_of "$2"
}

mode_of() {
	stat -c %a "$1"
}

requests() {
	figure "$mnt" "requests.$1"
}

nobody=$(id -u nobody)
shalefs mkfs "$store"
start_mount "$store" "$mnt" allow_other
cd "$mnt"

# ---- what is set is there ------------------------------------------------------

echo text >file
chmod 640 file
claim_acl "a file without one shows its mode" file \
	'user::rw- group::r-- other::---'
claim_fails "who is not named is kept out" as_nobody cat file
claim "setfacl sets one" setfacl -m u:nobody:rw file
claim_acl "getfacl shows it" file \
	"user::rw- user:$nobody:rw- group::r-- mask::rw- other::---"
claim "the mask is in the mode" test "$(mode_of file)" = 660
claim "who is named gets in" as_nobody cat file
claim "and may write" as_nobody sh -c 'echo more >>file'
claim "ls tells that there is one" sh -c 'ls -l file | grep -q "^-rw-rw----+"'

chmod 600 file
claim_acl "chmod changes the mask" file \
	"user::rw- user:$nobody:rw- #effective:--- group::r-- #effective:--- mask::--- other::---"
claim_fails "which keeps out who is named" as_nobody cat file
chmod 644 file
claim "and lets them in again" as_nobody cat file
claim_fails "as far as it goes" as_nobody sh -c 'echo more >>file'
setfacl -m u:nobody:---,m::rwx file
chmod 666 file
claim_fails "who is named gets no more than that says" as_nobody cat file

claim "setfacl takes it away" setfacl -b file
claim "and ls shows none" sh -c 'ls -l file | grep -q "^-rw-[-r][-w]-rw- "'
claim_fails "nothing of it is left" getfattr -n system.posix_acl_access file
claim "to take away none is no mistake" setfacl -bk file
setfacl -m u::rwx,g::r-x,o::r-- file
claim "one that says no more than a mode is a mode" test \
	"$(mode_of file)" = 754
claim_fails "and is not kept" getfattr -n system.posix_acl_access file

# ---- inheritance -----------------------------------------------------------------

mkdir dir
setfacl -d -m u:nobody:rwx,g::rx,o::- dir
claim "a default ACL leaves the mode alone" test "$(mode_of dir)" = 755
(umask 077 && : >dir/file && mkdir dir/sub && mkfifo dir/fifo &&
	ln -s file dir/link)
claim_acl "a new file inherits it, whatever the umask" dir/file \
	"user::rw- user:$nobody:rwx #effective:rw- group::r-x #effective:r-- mask::rw- other::---"
claim "its mode goes with that" test "$(mode_of dir/file)" = 660
claim_acl "so does a fifo" dir/fifo "$(acl_of dir/file | sed 's/ $//')"
claim_acl "a new folder inherits it twice" dir/sub \
	"user::rwx user:$nobody:rwx group::r-x mask::rwx other::--- default:user::rwx default:user:$nobody:rwx default:group::r-x default:mask::rwx default:other::---"
claim "and its folders too" sh -c 'mkdir -p dir/sub/deep/er &&
	as_nobody() { runuser -u nobody -- "$@"; }; as_nobody touch dir/sub/deep/er/f'
(umask 027 && : >plain && mkdir plaindir)
claim "elsewhere the umask holds" test "$(mode_of plain) $(mode_of plaindir)" \
	= "640 750"
claim_fails "a file has no default ACL" setfacl -d -m u:nobody:r plain
setfacl -k dir
(umask 022 && : >dir/later)
claim "without the default nothing is inherited" test \
	"$(mode_of dir/later)" = 644

# ---- set-group-id, limits, copies -------------------------------------------------

: >hers
chown nobody:root hers
chmod 2770 hers
claim "an owner outside of the group loses set-group-id" as_nobody \
	setfacl -m u:root:rw hers
claim "as with chmod" test "$(mode_of hers)" = 770
claim_fails "others do not change it" as_nobody setfacl -m u:nobody:rwx file
long=$(awk 'BEGIN { for (i = 1; i <= 251; i++) printf "u:%d:r,", i + 1000 }')
claim "255 entries" setfacl -m "${long%,}" plain
claim_fails "and no more" setfacl -m u:1:r,u:2:r plain
setfacl -m u:nobody:r dir/file
cp -a dir/file copy
claim_acl "cp -a copies it" copy "$(acl_of dir/file | sed 's/ $//')"
getfacl -R dir >"$scratch/before"
setfacl -R -b dir
claim "setfacl --restore brings a tree back" setfacl --restore="$scratch/before"
claim "as it was" sh -c "getfacl -R dir | cmp - '$scratch/before'"

cd "$scratch"
stop_mount "$mnt"
check_clean "$store"

# ---- what it costs ----------------------------------------------------------------

start_mount "$store" "$mnt" allow_other
mkdir "$mnt/many"
before=$(requests GETXATTR)
(cd "$mnt/many" && seq 200 | xargs touch && chmod 600 1 && stat ./* >/dev/null)
claim_number "making, chmod and stat ask for no ACL" \
	"$(requests GETXATTR)" -eq "$before"
ls -l "$mnt/many" >/dev/null
once=$(requests GETXATTR)
claim_number "ls -l asks once for each file" $((once - before)) -le 203
ls -l "$mnt/many" >/dev/null
claim_number "and again for the folder at most" \
	"$(requests GETXATTR)" -le $((once + 3))
stop_mount "$mnt"

# ---- after a mount ----------------------------------------------------------------

start_mount "$store" "$mnt" allow_other
cd "$mnt"
claim "another mount finds the same" sh -c \
	"getfacl -R dir | cmp - '$scratch/before'"
claim "and lets the same in" as_nobody cat dir/file
cd "$scratch"
stop_mount "$mnt"
check_clean "$store"
kit_end
