/* SPDX-License-Identifier: MIT */
#include "daemon/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"
#include "daemon/ballast.h"
#include "daemon/control.h"
#include "daemon/mounts.h"
#include "daemon/ops.h"
#include "daemon/transport.h"

enum {
	READERS = 8, /* so many requests may wait for a disk at once */
	QUICK_THREADS = 2,
	SLOW_THREADS = 8,
	/* After a lazy unmount, requests of those who still use the mount are
	   served for so long. */
	DETACHED_GRACE_MS = 1000,
	RESTORE_MS = 2000, /* between tries to hold space back again */
	REASON_BYTES = 256,
};

struct session {
	const struct session_config *config;
	struct options_budget budget;

	struct lsm_runtime *runtime;
	struct fs *fs;
	struct ballast *ballast;
	struct control *control;
	struct nodes *nodes;
	struct lane *quick, *slow;
	struct ops ops;
	struct fuse_session *fuse;
	struct transport *transport;
	bool mounted;
	struct mounts_entry entry; /* of the mount, once it is made */

	int signal_fd;
	int ready_fd; /* eventfd: 1 INIT agreed on, 2 refused */
	int end_fd;   /* eventfd: the kernel has unmounted */
};

/* ---- libfuse's messages ------------------------------------------------- */

/*
 * While mounting, what libfuse says is the reason of the one line that a
 * failure prints. Only the main thread calls libfuse then.
 */
static struct {
	bool collecting;
	char text[REASON_BYTES];
} reason;

static void keep_reason(const char *text)
{
	/* The first message says what failed, later ones what followed. */
	if (reason.text[0] == '\0')
		snprintf(reason.text, sizeof(reason.text), "%.*s",
		         (int)strcspn(text, "\n"), text);
}

static void on_fuse_message(enum fuse_log_level level, const char *format,
                            va_list args)
{
	char text[REASON_BYTES];

	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	if (reason.collecting)
		keep_reason(text);
	else
		log_printf(level <= FUSE_LOG_ERR       ? LOG_LEVEL_ERROR
		           : level == FUSE_LOG_WARNING ? LOG_LEVEL_WARNING
		                                       : LOG_LEVEL_DEBUG,
		           "%s", text);
}

/* What fusermount3 and libfuse write to stderr by themselves goes to a file in
   memory meanwhile. Both are -1 where that cannot be had. */
struct stderr_capture {
	int saved, file;
};

static void capture_begin(struct stderr_capture *capture)
{
	reason.collecting = true;
	reason.text[0] = '\0';
	fflush(stderr);
	capture->file = memfd_create("stderr", MFD_CLOEXEC);
	capture->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (capture->file >= 0 && capture->saved >= 0)
		(void)dup2(capture->file, STDERR_FILENO);
}

static void capture_end(struct stderr_capture *capture)
{
	char text[REASON_BYTES];
	ssize_t got;

	fflush(stderr);
	if (capture->file >= 0 && capture->saved >= 0) {
		(void)dup2(capture->saved, STDERR_FILENO);
		got = pread(capture->file, text, sizeof(text) - 1, 0);
		text[got > 0 ? got : 0] = '\0';
		keep_reason(text);
	}
	if (capture->file >= 0)
		close(capture->file);
	if (capture->saved >= 0)
		close(capture->saved);
	reason.collecting = false;
}

/* ---- opening ------------------------------------------------------------ */

static void poke(int fd, uint64_t value)
{
	while (write(fd, &value, sizeof(value)) < 0 && errno == EINTR)
		;
}

static void on_ready(void *ctx, bool agreed)
{
	struct session *session = ctx;

	poke(session->ready_fd, agreed ? 1 : 2);
}

static void on_end(void *ctx)
{
	struct session *session = ctx;

	poke(session->end_fd, 1);
}

/* Signals that end the session are read from a descriptor; every thread that
   starts after this has them blocked. */
static int open_events(struct session *session)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
		return errno;
	signal(SIGPIPE, SIG_IGN);

	session->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	session->ready_fd = eventfd(0, EFD_CLOEXEC);
	session->end_fd = eventfd(0, EFD_CLOEXEC);
	if (session->signal_fd < 0 || session->ready_fd < 0 ||
	    session->end_fd < 0)
		return errno;
	return 0;
}

static int open_store(struct session *session)
{
	const struct options *options = session->config->options;
	struct lsm_runtime_options runtime;
	struct lsm_options store;
	int err;

	lsm_runtime_options_init(&runtime);
	runtime.credit_bytes = session->budget.credit_bytes;
	runtime.cache_bytes = session->budget.cache_bytes;
	err = fs_errno(lsm_runtime_create(&runtime, &session->runtime));
	if (err != 0)
		return err;

	lsm_options_init(&store);
	store.read_only = options->read_only;
	store.memtable_bytes = session->budget.memtable_bytes;
	err = fs_open(session->runtime, session->config->store, &store,
	              &session->fs);
	if (err == 0)
		fs_hold_atime(session->fs, options->holds_atime,
		              options->holds_dir_atime);
	if (err == 0 && !options->read_only)
		err = ballast_open(session->config->store,
		                   fs_store(session->fs), &session->ballast);
	if (err != 0)
		return err;
	return control_open(session->config->store, options->read_only,
	                    &session->control);
}

static int open_parts(struct session *session)
{
	int err;

	err = nodes_create(&session->nodes);
	if (err == 0)
		err = lane_open("quick", QUICK_THREADS, &session->quick);
	if (err == 0)
		err = lane_open("slow", SLOW_THREADS, &session->slow);
	if (err == 0)
		ops_init(&session->ops, session->fs, session->nodes,
		         session->slow,
		         session->config->options->max_read_bytes,
		         session->config->options->writeback);
	return err;
}

/* ---- mounting ----------------------------------------------------------- */

static int make_arguments(const struct session_config *config,
                          struct fuse_args *args)
{
	const struct options *options = config->options;
	char *source = NULL;
	char *list = NULL;
	int failed = 0;

	if (asprintf(&source, "fsname=%s", config->store) < 0)
		return ENOMEM;
	failed |=
	    fuse_opt_add_opt(&list, "subtype=shalefs,default_permissions");
	failed |= fuse_opt_add_opt_escaped(&list, source);
	failed |= fuse_opt_add_opt(&list, options->read_only ? "ro" : "rw");
	if (options->kernel.len > 0)
		failed |=
		    fuse_opt_add_opt(&list, (const char *)options->kernel.data);
	failed |= fuse_opt_add_arg(args, "shalefs");
	failed |= fuse_opt_add_arg(args, "-o");
	if (failed == 0)
		failed |= fuse_opt_add_arg(args, list);
	free(list);
	free(source);
	return failed == 0 ? 0 : ENOMEM;
}

static int create_and_mount(struct session *session)
{
	const char *mountpoint = session->config->mountpoint;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct stderr_capture capture;
	int err;

	err = make_arguments(session->config, &args);
	if (err != 0) {
		log_error("%s: %s", mountpoint, strerror(err));
		goto out;
	}
	fuse_set_log_func(on_fuse_message);
	capture_begin(&capture);
	session->fuse = fuse_session_new(&args, ops_table(),
	                                 sizeof(*ops_table()), &session->ops);
	session->mounted = session->fuse != NULL &&
	                   fuse_session_mount(session->fuse, mountpoint) == 0;
	capture_end(&capture);
	session->ops.session = session->fuse;
	if (!session->mounted) {
		log_error("%s: %s", mountpoint,
		          reason.text[0] != '\0' ? reason.text
		                                 : "cannot be mounted");
		err = EIO;
	}
out:
	fuse_opt_free_args(&args);
	return err;
}

static int start_readers(struct session *session)
{
	struct transport_config config = {
	    .session = session->fuse,
	    .fs = session->fs,
	    .quick = session->quick,
	    .slow = session->slow,
	    .disguises = true,
	    .readers = READERS,
	    .wakeup = session->config->options->wakeup,
	    .parked_limit_bytes = session->budget.parked_bytes,
	    .on_ready = on_ready,
	    .on_end = on_end,
	    .ctx = session,
	};
	int err = transport_dev.start(&config, &session->transport);

	if (err != 0)
		log_error("%s: %s", session->config->mountpoint, strerror(err));
	return err;
}

/* Until libfuse has answered INIT. */
static int await_init(struct session *session)
{
	struct pollfd fds[] = {
	    {.fd = session->ready_fd, .events = POLLIN},
	    {.fd = session->end_fd, .events = POLLIN},
	    {.fd = session->signal_fd, .events = POLLIN},
	};
	uint64_t agreed = 0;

	while (poll(fds, 3, -1) < 0 && errno == EINTR)
		;
	if (fds[0].revents != 0 &&
	    read(session->ready_fd, &agreed, sizeof(agreed)) > 0 && agreed == 1)
		return 0;
	log_error("%s: %s", session->config->mountpoint,
	          fds[0].revents != 0   ? "the kernel's FUSE is too old"
	          : fds[2].revents != 0 ? "interrupted"
	                                : "unmounted while being mounted");
	return EIO;
}

static int start_control(struct session *session)
{
	struct figures_source figures = {
	    .fs = session->fs,
	    .budget_bytes = session->config->options->memory_bytes,
	    .ops = &session->ops,
	    .nodes = session->nodes,
	    .transport = session->transport,
	    .started_ns = sync_now_ns(),
	};
	int err;

	if (session->control == NULL)
		return 0;
	err = mounts_find(session->config->mountpoint, &session->entry);
	if (err != 0) {
		log_error("%s: not found among the mounts: %s",
		          session->config->mountpoint, strerror(err));
		return err;
	}
	return control_start(session->control, &figures, session->entry.device);
}

/*
 * Take as many descriptors as the system allows: open tables alone may be half
 * of the usual 1,024, and each branch in use has some of its own. With fewer the
 * daemon still runs.
 */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("the limit of open files cannot be raised: %s",
		            strerror(errno));
}

static int begin(struct session *session)
{
	const struct session_config *config = session->config;
	bool dead = false;
	int err;

	raise_file_limit();
	err = options_budget(config->options, &session->budget);
	if (err == 0)
		err = open_events(session);
	if (err == 0)
		err = mounts_check(config->mountpoint, config->store, &dead);
	if (err == 0)
		err = open_store(session);
	if (err == 0)
		err = open_parts(session);
	/* Only now is it sure that the daemon of that mount is gone. */
	if (err == 0 && dead) {
		err = mounts_detach(config->mountpoint, true);
		if (err != 0)
			log_error("%s: the dead mount there cannot be "
			          "detached: %s",
			          config->mountpoint, strerror(err));
	}
	if (err == 0)
		err = create_and_mount(session);
	if (err == 0)
		err = start_readers(session);
	if (err == 0)
		err = await_init(session);
	if (err == 0)
		err = start_control(session);
	return err;
}

/* ---- the end ------------------------------------------------------------ */

/* True when the kernel has unmounted, false on a signal. What is held back for a
   full disk is taken again meanwhile, once it was given up. */
static bool await_end(struct session *session)
{
	struct pollfd fds[] = {
	    {.fd = session->end_fd, .events = POLLIN},
	    {.fd = session->signal_fd, .events = POLLIN},
	    {.fd = ballast_event(session->ballast), .events = POLLIN},
	};
	int wait_ms = -1;

	for (;;) {
		int count = poll(fds, 3, wait_ms);

		if (count > 0 && (fds[0].revents | fds[1].revents) != 0)
			return fds[0].revents != 0;
		if (count < 0 && errno == EINTR)
			continue;
		/* Given up: another look now and then, not at the event. */
		if (wait_ms < 0 || !ballast_restore(session->ballast)) {
			fds[2].fd = -1;
			wait_ms = RESTORE_MS;
		} else {
			fds[2].fd = ballast_event(session->ballast);
			wait_ms = -1;
		}
	}
}

/*
 * Take the mount away though it may be in use. Where nobody uses it the kernel
 * then ends the connection; others get a moment, and ENOTCONN after it.
 */
static void detach(struct session *session)
{
	struct pollfd end = {.fd = session->end_fd, .events = POLLIN};
	int err = mounts_detach(session->config->mountpoint, true);

	if (err != 0)
		log_warning("%s: cannot be unmounted: %s",
		            session->config->mountpoint, strerror(err));
	while (poll(&end, 1, DETACHED_GRACE_MS) < 0 && errno == EINTR)
		;
}

static void reclaim(void *ctx, uint64_t ino)
{
	struct fs *fs = ctx;

	/* What fails was logged by the engine; the next open tries again. */
	(void)fs_reclaim(fs, ino);
}

/*
 * Close /dev/fuse. fuse_session_unmount() would also unmount what is at the
 * mountpoint, and that need not be ours any more: the mount was taken away
 * before. It refrains where poll(2) says that the connection is broken, so it
 * is shown a pipe that nobody reads.
 */
static void close_connection(struct session *session)
{
	int ends[2];

	if (session->mounted && pipe2(ends, O_CLOEXEC) == 0) {
		close(ends[0]);
		(void)dup3(ends[1], fuse_session_fd(session->fuse), O_CLOEXEC);
		close(ends[1]);
		fuse_session_unmount(session->fuse);
	}
	if (session->fuse != NULL)
		fuse_session_destroy(session->fuse);
}

/* Stop everything that uses the store. */
static void stop_parts(struct session *session)
{
	/* First, as its figures name the others. */
	control_stop(session->control);
	if (session->transport != NULL)
		session->transport->ops->stop(session->transport);
	close_connection(session);
	lane_close(session->quick);
	lane_close(session->slow);
	if (session->nodes != NULL && !session->config->options->read_only)
		nodes_each_orphan(session->nodes, reclaim, session->fs);
	nodes_destroy(session->nodes);
}

static int close_all(struct session *session)
{
	int err;

	stop_parts(session);
	err = fs_close(session->fs);
	ballast_close(session->ballast);
	lsm_runtime_destroy(session->runtime);
	control_finish(session->control, err);
	mounts_entry_release(&session->entry);
	if (session->signal_fd >= 0)
		close(session->signal_fd);
	if (session->ready_fd >= 0)
		close(session->ready_fd);
	if (session->end_fd >= 0)
		close(session->end_fd);
	return err;
}

int session_run(const struct session_config *config)
{
	struct session session = {
	    .config = config,
	    .signal_fd = -1,
	    .ready_fd = -1,
	    .end_fd = -1,
	};
	bool unmounted = false;
	int close_err;
	int err;

	err = begin(&session);
	if (err == 0) {
		config->on_ready(config->ctx);
		unmounted = await_end(&session);
	}
	if (session.mounted && !unmounted)
		detach(&session);
	close_err = close_all(&session);
	return err != 0 ? err : close_err;
}
