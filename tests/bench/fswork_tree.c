/* SPDX-License-Identifier: MIT */
/* fswork_tree.c: programs at work on a tree of sources. */
#include "tests/bench/fswork.h"

static int shell(const struct fswork_run *run, const char *script)
{
	return fswork_shell(run, script, "");
}

static int unpack(struct fswork_run *run)
{
	return shell(run, "mkdir tree; tar -C tree -xf \"$TAR\"");
}

static int copy(struct fswork_run *run)
{
	return shell(run, "cp -a tree copy");
}

static int search(struct fswork_run *run)
{
	return shell(run, "! grep -rq 'no such words are here' tree");
}

/* Who commits is said here, and nothing of the user's own settings. */
#define GIT                                                                    \
	"export HOME=\"$SCRATCH\" GIT_CONFIG_NOSYSTEM=1; cd tree; "            \
	"git='git -c user.name=n -c user.email=e -c gc.auto=0'; "

static int git_add(struct fswork_run *run)
{
	return shell(run, GIT "$git init -q .; $git add -A");
}

static int git_commit(struct fswork_run *run)
{
	return shell(run, GIT "$git commit -qm all; $git status --short");
}

static int git_status(struct fswork_run *run)
{
	return shell(run, GIT "test -z \"$($git status --short)\"");
}

static int remove_copy(struct fswork_run *run)
{
	return shell(run, "rm -rf copy");
}

/* As many objects as there are sources, by as many jobs as processors. */
static int bring_sources(struct fswork_run *run)
{
	return shell(run, "cp -R \"$SOURCES\" sources");
}

static int compile(struct fswork_run *run)
{
	return shell(
	    run, "find sources -name '*.c' | sort | xargs -P 2 -I {} "
		 "cc -std=gnu11 -D_GNU_SOURCE -O0 -g -Isources -c {} -o {}.o; "
		 "find sources -name '*.o' | xargs ar -rc all.a");
}

const struct fswork fsworks_tree[] = {
    {
	.name = "tree",
	.help = "an unpacked source tree, 78,000 files",
	.tools = "tar grep git",
	.needs_tar = true,
	.space_goal = 0.55,
	.phases =
	    {
		{"tar-x", unpack, FSWORK_SYNC, 3.0},
		{"grep-r-cold", search, FSWORK_COLD | FSWORK_WEIGH, 1.0},
		{"cp-a", copy, FSWORK_SYNC, 3.0},
		{"git-add", git_add, FSWORK_SYNC, 0},
		{"git-commit", git_commit, FSWORK_SYNC | FSWORK_QUIET, 0},
		{"git-status", git_status, 0, 1.3},
		{"git-status-cold", git_status, FSWORK_COLD, 0},
		{"rm-rf", remove_copy, FSWORK_SYNC, 3.0},
	    },
    },
    {
	.name = "compile",
	.help = "this project's engine, with cc",
	.tools = "cc ar xargs",
	.needs_sources = true,
	.phases =
	    {
		{"copy", bring_sources, FSWORK_SYNC | FSWORK_QUIET, 0},
		{"cc", compile, FSWORK_SYNC, 0},
	    },
    },
    {.name = NULL},
};
