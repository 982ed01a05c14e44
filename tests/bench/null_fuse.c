/* SPDX-License-Identifier: MIT */
/*
 * null_fuse.c: a filesystem without a disk, as the floor of FUSE: requests come
 * through the daemon's own receive loop and lanes, INIT and the timeouts are
 * the daemon's, and the answers come from tables in memory. What another mount
 * takes more than this one is what its storage takes.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/transport.h"
#include "tests/bench/null_ops.h"

enum {
	/* As the daemon has them. */
	QUICK_THREADS = 2,
	SLOW_THREADS = 8,
	MAX_READERS = 2,
};
#define PARKED_LIMIT_BYTES (UINT64_C(32) << 20)

static const char usage[] =
    "Usage: null_fuse [-f] [-o OPTIONS] FOLDER\n"
    "Mount there a filesystem that keeps everything in memory, until it is\n"
    "unmounted. -f: stay in the foreground.\n";

struct mount {
	struct null_fuse null;
	struct fuse_session *session;
	struct lane *quick, *slow;
	struct transport *transport;
	sigset_t signals;
	bool foreground;
	const char *options, *folder;
};

static void __attribute__((noreturn)) help(FILE *to, int status)
{
	fputs(usage, to);
	exit(status);
}

static void parse(struct mount *mount, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "fo:h")) != -1) {
		switch (c) {
		case 'f':
			mount->foreground = true;
			break;
		case 'o':
			mount->options = optarg;
			break;
		case 'h':
			help(stdout, EXIT_SUCCESS);
		default:
			help(stderr, 2);
		}
	}
	if (argc - optind != 1)
		help(stderr, 2);
	mount->folder = argv[optind];
}

static void on_ready(void *ctx, bool agreed)
{
	(void)ctx;
	if (!agreed)
		(void)kill(getpid(), SIGTERM);
}

static void on_end(void *ctx)
{
	(void)ctx;
	(void)kill(getpid(), SIGTERM);
}

static int attach(struct mount *mount)
{
	static const char always[] =
	    "fsname=null,subtype=null,default_permissions";
	struct fuse_lowlevel_ops table = null_ops_table();
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int failed = fuse_opt_add_arg(&args, "null_fuse");

	failed |= fuse_opt_add_arg(&args, "-o");
	failed |= fuse_opt_add_arg(&args, always);
	if (mount->options != NULL) {
		failed |= fuse_opt_add_arg(&args, "-o");
		failed |= fuse_opt_add_arg(&args, mount->options);
	}
	if (failed == 0)
		mount->session = fuse_session_new(&args, &table, sizeof(table),
		                                  &mount->null);
	fuse_opt_free_args(&args);
	if (mount->session == NULL ||
	    fuse_session_mount(mount->session, mount->folder) != 0)
		return EIO;
	return 0;
}

static unsigned readers(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0 ||
	    CPU_COUNT(&cpus) < MAX_READERS)
		return 1;
	return MAX_READERS;
}

/* Threads begin here: after the process has gone to the background. */
static int start(struct mount *mount)
{
	struct transport_config config = {
	    .session = mount->session,
	    .readers = readers(),
	    .parked_limit_bytes = PARKED_LIMIT_BYTES,
	    .on_ready = on_ready,
	    .on_end = on_end,
	};
	int err = null_tree_create(&mount->null.tree);

	if (err == 0)
		err = lane_open("quick", QUICK_THREADS, &mount->quick);
	if (err == 0)
		err = lane_open("slow", SLOW_THREADS, &mount->slow);
	if (err != 0)
		return err;
	config.quick = mount->quick;
	config.slow = mount->slow;
	return transport_dev.start(&config, &mount->transport);
}

static int serve(struct mount *mount)
{
	int number;
	int err = attach(mount);

	if (err == 0 && fuse_daemonize(mount->foreground) != 0)
		err = EIO;
	if (err == 0)
		err = start(mount);
	if (err == 0)
		(void)sigwait(&mount->signals, &number);
	return err;
}

static void finish(struct mount *mount)
{
	/* Still mounted if a signal came from elsewhere. */
	if (mount->session != NULL)
		fuse_session_unmount(mount->session);
	if (mount->transport != NULL)
		mount->transport->ops->stop(mount->transport);
	lane_close(mount->quick);
	lane_close(mount->slow);
	if (mount->session != NULL)
		fuse_session_destroy(mount->session);
	null_tree_destroy(mount->null.tree);
}

int main(int argc, char **argv)
{
	struct mount mount = {.foreground = false};
	int err;

	parse(&mount, argc, argv);
	sigemptyset(&mount.signals);
	sigaddset(&mount.signals, SIGTERM);
	sigaddset(&mount.signals, SIGINT);
	sigaddset(&mount.signals, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &mount.signals, NULL);
	err = serve(&mount);
	if (err != 0)
		fprintf(stderr, "null_fuse: %s: %s\n", mount.folder,
		        strerror(err));
	finish(&mount);
	return err == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
