/* SPDX-License-Identifier: MIT */
#include "tests/bench/run.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sync.h"
#include "io/env.h"
#include "tests/bench/data.h"
#include "tests/bench/measure.h"

enum {
	KEYS_LEAST = 2000,
	CALLS_LEAST = 500,
	NS_PER_S = 1000000000,
	FILES_GO_NS = 300000000, /* until what was replaced is removed */
	VALUE_ROOM_BYTES = DATA_VALUE_MAX_BYTES + 64,
};

/* One child: a store that phases follow each other on. */
struct run {
	const struct run_settings *settings;
	const struct engine *engine;
	const struct workload *workload;
	const char *path;
	struct engine_settings engine_settings;
	struct bench_db *db;
	uint64_t keys;
	int64_t live_bytes;
};

/* A phase and its threads. */
struct team {
	struct run *run;
	const struct phase *phase;
	uint64_t count, deadline_ns; /* 0: no deadline */
	atomic_bool over;            /* relaxed would do: it only ends loops */
	struct member {
		struct team *team;
		struct bench_worker worker;
		struct sync_thread thread;
		uint64_t first, count;
	} members[WORKLOAD_THREADS_MAX + 1]; /* the last: beside */
	struct sync_thread syncer;
	enum lsm_err sync_err;
};

uint64_t run_scaled(double scale, uint64_t full, uint64_t least)
{
	uint64_t count = (uint64_t)((double)full * scale);

	return count > least ? count : least;
}

static void sleep_until(uint64_t when_ns)
{
	uint64_t now_ns = sync_now_ns();
	struct timespec pause;

	if (now_ns >= when_ns)
		return;
	pause.tv_sec = (time_t)((when_ns - now_ns) / NS_PER_S);
	pause.tv_nsec = (long)((when_ns - now_ns) % NS_PER_S);
	nanosleep(&pause, NULL);
}

/* ---- threads ------------------------------------------------------------------- */

static void work(void *ctx)
{
	struct member *member = ctx;
	struct bench_worker *worker = &member->worker;
	const struct team *team = member->team;
	uint64_t before_ns = sync_now_ns(), now_ns;

	for (uint64_t i = 0; i < member->count; i++) {
		worker->err = team->phase->call(worker, member->first + i);
		if (worker->err != LSM_OK)
			break;
		now_ns = sync_now_ns();
		histogram_add(worker->histogram, now_ns - before_ns);
		before_ns = now_ns;
		if (team->deadline_ns != 0 && now_ns >= team->deadline_ns)
			break;
	}
}

static void work_beside(void *ctx)
{
	struct member *member = ctx;
	struct bench_worker *worker = &member->worker;
	const struct team *team = member->team;
	uint64_t start_ns = sync_now_ns();

	for (uint64_t i = 0; !atomic_load(&team->over); i++) {
		sleep_until(start_ns + i * NS_PER_S / team->phase->pace);
		worker->err = team->phase->beside(worker, i);
		if (worker->err != LSM_OK)
			break;
	}
}

static void sync_each_period(void *ctx)
{
	struct team *team = ctx;
	const struct run *run = team->run;
	uint64_t period_ns = (uint64_t)run->settings->sync_period_ms * 1000000;
	uint64_t next_ns = sync_now_ns() + period_ns;

	while (team->sync_err == LSM_OK && !atomic_load(&team->over)) {
		sleep_until(sync_now_ns() + 1000000);
		if (sync_now_ns() < next_ns)
			continue;
		team->sync_err = run->engine->sync(run->db);
		next_ns += period_ns;
	}
}

static enum lsm_err member_start(struct team *team, unsigned index,
                                 void (*body)(void *ctx))
{
	struct member *member = &team->members[index];
	struct run *run = team->run;
	uint64_t share = team->count / team->phase->threads;
	enum lsm_err err;

	member->team = team;
	member->first = share * index;
	member->count = index + 1 == team->phase->threads
	                    ? team->count - member->first
	                    : share;
	member->worker = (struct bench_worker){
	    .engine = run->engine,
	    .workload = run->workload,
	    .keys = run->keys,
	    .count = team->count,
	    .random = data_scatter(index + 1),
	    .value = malloc(VALUE_ROOM_BYTES),
	    .histogram = calloc(1, sizeof(struct histogram)),
	};
	if (member->worker.value == NULL || member->worker.histogram == NULL)
		return LSM_ERR_NOMEM;
	err = run->engine->session_open(run->db, &member->worker.session);
	if (err == LSM_OK)
		err = sync_thread_start(&member->thread, "bench", body, member);
	return err;
}

static void member_release(struct team *team, struct member *member)
{
	if (member->worker.session != NULL)
		team->run->engine->session_close(member->worker.session);
	free(member->worker.value);
	free(member->worker.histogram);
}

/* Put what one thread did to the others'. */
static void member_count(struct team *team, const struct member *member,
                         struct run_result *result, struct histogram *all)
{
	const struct bench_worker *worker = &member->worker;

	team->run->live_bytes += worker->live_bytes;
	result->ops += worker->ops;
	result->read_bytes += worker->read_bytes;
	result->written_bytes += worker->written_bytes;
	histogram_merge(all, worker->histogram);
}

static enum lsm_err team_run(struct team *team, struct run_result *result)
{
	const struct phase *phase = team->phase;
	struct member *beside = &team->members[phase->threads];
	struct histogram *all = calloc(1, sizeof(*all));
	enum lsm_err err = all == NULL ? LSM_ERR_NOMEM : LSM_OK;

	if (err == LSM_OK && phase->beside != NULL)
		err = member_start(team, phase->threads, work_beside);
	if (err == LSM_OK && team->run->settings->sync_period_ms > 0)
		err = sync_thread_start(&team->syncer, "sync", sync_each_period,
		                        team);
	for (unsigned i = 0; err == LSM_OK && i < phase->threads; i++)
		err = member_start(team, i, work);
	for (unsigned i = 0; i < phase->threads; i++) {
		sync_thread_join(&team->members[i].thread);
		if (err == LSM_OK)
			err = team->members[i].worker.err;
		if (err == LSM_OK)
			member_count(team, &team->members[i], result, all);
	}
	atomic_store(&team->over, true);
	sync_thread_join(&beside->thread);
	sync_thread_join(&team->syncer);
	if (err == LSM_OK)
		err = beside->worker.err;
	if (err == LSM_OK)
		err = team->sync_err;
	if (err == LSM_OK) {
		result->written_bytes += beside->worker.written_bytes;
		result->p50_ns = histogram_at(all, 0.5);
		result->p99_ns = histogram_at(all, 0.99);
		result->p999_ns = histogram_at(all, 0.999);
		result->max_ns = all->max_ns;
	}
	for (unsigned i = 0; i <= phase->threads; i++)
		member_release(team, &team->members[i]);
	free(all);
	return err;
}

/* ---- phases ---------------------------------------------------------------------- */

/* A process that just started would know as little. */
static enum lsm_err make_cold(struct run *run)
{
	struct bench_db *db = run->db;
	enum lsm_err err;

	run->db = NULL;
	err = run->engine->close(db);
	if (err == LSM_OK)
		err = measure_drop_cache(run->path);
	if (err == LSM_OK)
		err = run->engine->open(&run->engine_settings, run->path, false,
		                        &run->db);
	return err;
}

static void team_init(struct team *team, struct run *run,
                      const struct phase *phase)
{
	const struct run_settings *settings = run->settings;

	memset(team, 0, sizeof(*team));
	team->run = run;
	team->phase = phase;
	if (phase->count == 0)
		team->count = run->keys;
	else if (phase->fixed)
		team->count = phase->count;
	else
		team->count =
		    run_scaled(settings->scale, phase->count, CALLS_LEAST);
	if (phase->timed) {
		team->count = UINT64_MAX / 2;
		team->deadline_ns =
		    sync_now_ns() +
		    (uint64_t)(settings->minutes * 60 * NS_PER_S);
	}
}

static enum lsm_err one_phase(struct run *run, const struct phase *phase,
                              struct run_result *result)
{
	struct measure_io before, after;
	enum lsm_err err = LSM_OK;
	struct team team;
	uint64_t start_ns;
	double cpu_s;

	if (phase->cold)
		err = make_cold(run);
	measure_reset_peak();
	if (err == LSM_OK)
		err = measure_io(&before);
	if (err != LSM_OK)
		return err;
	team_init(&team, run, phase);
	cpu_s = measure_cpu_s();
	start_ns = sync_now_ns();
	err = team_run(&team, result);
	result->foreground_s = (double)(sync_now_ns() - start_ns) / NS_PER_S;
	if (err == LSM_OK && phase->writes)
		err = run->engine->settle(run->db);
	result->settled_s = (double)(sync_now_ns() - start_ns) / NS_PER_S;
	result->cpu_s = measure_cpu_s() - cpu_s;
	if (err == LSM_OK)
		err = measure_io(&after);
	if (err == LSM_OK)
		err = measure_peak(&result->peak_bytes);
	if (phase->writes)
		sleep_until(sync_now_ns() + FILES_GO_NS);
	if (err == LSM_OK)
		err = measure_space(run->path, &result->space_bytes);
	if (err != LSM_OK)
		return err;
	result->live_bytes = (uint64_t)run->live_bytes;
	result->disk_write_bytes = after.write_bytes - before.write_bytes;
	result->disk_read_bytes = after.read_bytes - before.read_bytes;
	return LSM_OK;
}

static enum lsm_err all_phases(struct run *run,
                               struct run_result results[WORKLOAD_PHASES_MAX])
{
	enum lsm_err err, close_err = LSM_OK;

	run->engine_settings = run->settings->engine;
	run->engine_settings.data_bytes =
	    run->keys * (run->workload->value_bytes + DATA_KEY_BYTES);
	err =
	    run->engine->open(&run->engine_settings, run->path, true, &run->db);
	for (unsigned i = 0; err == LSM_OK && i < WORKLOAD_PHASES_MAX; i++)
		if (run->workload->phases[i].name != NULL)
			err = one_phase(run, &run->workload->phases[i],
			                &results[i]);
	if (run->db != NULL)
		close_err = run->engine->close(run->db);
	return err != LSM_OK ? err : close_err;
}

/* ---- processes ----------------------------------------------------------------- */

static enum lsm_err failed(const char *what)
{
	fprintf(stderr, "kvbench: %s: %s\n", what, strerror(errno));
	return LSM_ERR_IO;
}

static void child(struct run *run, int fd)
{
	struct run_result results[WORKLOAD_PHASES_MAX] = {0};
	enum lsm_err err = data_prepare();

	run->keys =
	    run_scaled(run->settings->scale, run->workload->keys, KEYS_LEAST);
	if (err == LSM_OK)
		err = all_phases(run, results);
	if (err == LSM_OK &&
	    write(fd, results, sizeof(results)) != (ssize_t)sizeof(results))
		err = failed("pipe");
	_exit(err == LSM_OK ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Read all, or fail: the child wrote all or failed. */
static enum lsm_err collect(int fd, pid_t pid, void *data, size_t len)
{
	size_t got = 0;
	int status;

	while (got < len) {
		ssize_t n = read(fd, (uint8_t *)data + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	if (waitpid(pid, &status, 0) != pid)
		return failed("waitpid");
	if (status != 0 || got != len)
		return LSM_ERR_IO;
	return LSM_OK;
}

static enum lsm_err fork_child(struct run *run,
                               struct run_result results[WORKLOAD_PHASES_MAX])
{
	enum lsm_err err;
	int fds[2];
	pid_t pid;

	if (pipe(fds) != 0)
		return failed("pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child(run, fds[1]);
	}
	close(fds[1]);
	if (pid < 0)
		err = failed("fork");
	else
		err = collect(fds[0], pid, results,
		              sizeof(*results) * WORKLOAD_PHASES_MAX);
	close(fds[0]);
	return err;
}

enum lsm_err run_workload(const struct run_settings *settings,
                          const struct engine *engine,
                          const struct workload *workload,
                          struct run_result results[WORKLOAD_PHASES_MAX])
{
	char name[64], path[4096];
	struct run run = {
	    .settings = settings,
	    .engine = engine,
	    .workload = workload,
	    .path = path,
	};
	struct env_dir *folder;
	enum lsm_err err, remove_err;

	snprintf(name, sizeof(name), "kvbench-%ld", (long)getpid());
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", settings->folder,
	                     name) >= sizeof(path))
		return LSM_ERR_TOO_BIG;
	err = env_dir_open(env_posix(), settings->folder, &folder);
	if (err != LSM_OK) {
		fprintf(stderr, "kvbench: %s: %s\n", settings->folder,
		        lsm_strerror(err));
		return err;
	}
	err = fork_child(&run, results);
	remove_err = env_remove_tree(folder, name);
	if (err == LSM_OK)
		err = remove_err;
	env_dir_close(folder);
	return err;
}
