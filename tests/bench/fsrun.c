/* SPDX-License-Identifier: MIT */
#include "tests/bench/fsrun.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sync.h"
#include "tests/bench/fsrecipe.h"

enum { WALK_DESCRIPTORS = 32 };
#define NS_PER_S 1e9

/* Set by the handler. */
static volatile sig_atomic_t stopped;
static volatile pid_t running; /* the group of the phase's process, or 0 */

struct running {
	const struct fsoptions *options;
	const struct fsoptions_target *target;
	const struct fswork *work;
	char folder[PATH_MAX]; /* of this workload, in the target's */
};

/* ---- signals -------------------------------------------------------------- */

static void stop(int number)
{
	(void)number;
	stopped = 1;
	if (running > 0)
		(void)kill(-running, SIGTERM);
}

void fsrun_catch_signals(void)
{
	struct sigaction action = {.sa_handler = stop};

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool fsrun_stopped(void)
{
	return stopped != 0;
}

static void default_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* ---- one phase ------------------------------------------------------------ */

/* What a phase's process has to say. */
struct answer {
	int err;
	struct fsrun_phase phase;
};

/*
 * Make everything durable: what the kernel holds of this filesystem, what its
 * daemon does (the sync of a folder reaches it, syncfs(2) does not), and what
 * lies below both.
 */
static int sync_everything(void)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return fswork_failed("the folder", errno);
	if (syncfs(fd) != 0 || fsync(fd) != 0)
		err = fswork_failed("the folder: sync", errno);
	close(fd);
	sync();
	return err;
}

static void run_phase(const struct running *r, const struct fswork_phase *phase,
                      struct answer *answer)
{
	struct fswork_run run = {
	    .work = r->work,
	    .scale = r->options->scale,
	    .tar = r->options->tar,
	    .sources = r->options->sources,
	    .scratch = r->options->scratch,
	};
	uint64_t synced_ns = 0;

	*answer = (struct answer){0};
	if (chdir(r->folder) != 0) {
		answer->err = fswork_failed(r->folder, errno);
		return;
	}
	fswork_begin(&run);
	answer->err = phase->call(&run);
	if (run.ended_ns == 0)
		fswork_end(&run);
	if (answer->err == 0 && (phase->flags & FSWORK_SYNC) != 0) {
		uint64_t before = sync_now_ns();

		answer->err = sync_everything();
		synced_ns = sync_now_ns() - before;
	}
	answer->phase = (struct fsrun_phase){
	    .seconds =
		(double)(run.ended_ns - run.started_ns + synced_ns) / NS_PER_S,
	    .sync_s = (double)synced_ns / NS_PER_S,
	    .ops = run.ops,
	};
}

static void __attribute__((noreturn))
be_phase(const struct running *r, const struct fswork_phase *phase, int to)
{
	struct answer answer;

	(void)setpgid(0, 0);
	default_signals();
	run_phase(r, phase, &answer);
	if (write(to, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		_exit(1);
	_exit(0);
}

static int wait_for_phase(const struct running *r, pid_t pid, int from,
                          struct fsrun_phase *result)
{
	struct answer answer = {.err = EIO};
	ssize_t got;

	(void)setpgid(pid, pid);
	running = pid;
	if (stopped)
		(void)kill(-pid, SIGTERM);
	do
		got = read(from, &answer, sizeof(answer));
	while (got < 0 && errno == EINTR);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	running = 0;
	if (got != (ssize_t)sizeof(answer)) {
		if (!stopped)
			fprintf(stderr, "fsbench: %s: %s: it died\n",
			        r->target->name, r->work->name);
		return stopped ? EINTR : EIO;
	}
	*result = answer.phase;
	return answer.err;
}

static int call_phase(const struct running *r, const struct fswork_phase *phase,
                      struct fsrun_phase *result)
{
	int ends[2];
	pid_t pid;
	int err;

	if (stopped)
		return EINTR;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fswork_failed("pipe", errno);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		be_phase(r, phase, ends[1]);
	close(ends[1]);
	err = pid > 0 ? wait_for_phase(r, pid, ends[0], result)
	              : fswork_failed("fork", errno);
	close(ends[0]);
	if (err != 0)
		fprintf(stderr, "fsbench: %s: %s %s failed\n", r->target->name,
		        r->work->name, phase->name);
	return err;
}

/* ---- between phases ------------------------------------------------------- */

static void drop_caches(void)
{
	static bool said;
	int fd;

	sync();
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "3", 1) != 1) {
		if (!said)
			fprintf(stderr, "fsbench: caches cannot be dropped: "
			                "cold is not cold\n");
		said = true;
	}
	if (fd >= 0)
		close(fd);
}

static uint64_t walk_bytes; /* nftw() passes no context; one thread */

static int add_size(const char *path, const struct stat *status, int type,
                    struct FTW *where)
{
	(void)path;
	(void)where;
	if (type == FTW_F)
		walk_bytes += (uint64_t)status->st_size;
	return 0;
}

/* What was written to the files, however it is stored. */
static int logical_bytes(const char *folder, uint64_t *bytes_out)
{
	walk_bytes = 0;
	if (nftw(folder, add_size, WALK_DESCRIPTORS, FTW_PHYS) != 0)
		return fswork_failed(folder, errno);
	*bytes_out = walk_bytes;
	return 0;
}

static int make_cold(const struct running *r, bool weigh,
                     struct fsrun_result *result)
{
	int err = 0;

	if (weigh)
		err = logical_bytes(r->folder, &result->logical_bytes);
	if (err == 0)
		err = fsrecipe_do(r->options, r->target, "unmount");
	if (err == 0 && weigh)
		err =
		    fsrecipe_weigh(r->options, r->target, &result->space_bytes);
	if (err == 0) {
		drop_caches();
		err = fsrecipe_do(r->options, r->target, "mount");
	}
	return err;
}

static int run_phases(const struct running *r, struct fsrun_result *result)
{
	int err = 0;

	for (unsigned i = 0; err == 0 && i < FSWORK_PHASES_MAX; i++) {
		const struct fswork_phase *phase = &r->work->phases[i];

		if (phase->call == NULL)
			break;
		if ((phase->flags & FSWORK_COLD) != 0)
			err = make_cold(r, (phase->flags & FSWORK_WEIGH) != 0,
			                result);
		if (err == 0)
			err = call_phase(r, phase, &result->phases[i]);
	}
	return err;
}

/* ---- the whole ------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path) == 0 ? 0 : fswork_failed(path, errno);
}

static int finish(const struct running *r)
{
	if (r->options->recipe != NULL)
		return fsrecipe_do(r->options, r->target, "end");
	if (nftw(r->folder, remove_one, WALK_DESCRIPTORS,
	         FTW_PHYS | FTW_DEPTH) != 0)
		return EIO;
	return 0;
}

int fsrun_workload(const struct fsoptions *options,
                   const struct fsoptions_target *target,
                   const struct fswork *work, struct fsrun_result *result)
{
	struct running r = {
	    .options = options,
	    .target = target,
	    .work = work,
	};
	int end_err, err = 0;

	*result = (struct fsrun_result){0};
	if ((size_t)snprintf(r.folder, sizeof(r.folder), "%s/fsbench-%ld",
	                     target->folder,
	                     (long)getpid()) >= sizeof(r.folder))
		return fswork_failed(target->folder, ENAMETOOLONG);
	err = fsrecipe_do(options, target, "make");
	if (err == 0)
		err = fsrecipe_do(options, target, "mount");
	if (err == 0 && mkdir(r.folder, 0755) != 0)
		err = fswork_failed(r.folder, errno);
	else if (err == 0)
		err = run_phases(&r, result);
	end_err = finish(&r);
	return err != 0 ? err : end_err;
}
