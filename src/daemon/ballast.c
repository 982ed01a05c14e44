/* SPDX-License-Identifier: MIT */
#include "daemon/ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"

enum {
	MOST_BYTES = 32 << 20,
	DISK_PART = 32, /* half of the smallest reserve */
};

#define RETRY_NS UINT64_C(2000000000)
#define RETRY_EACH_NS UINT64_C(10000000)

struct ballast {
	/* Constant after open. */
	struct lsm *store;
	int fd, event_fd;
	uint64_t bytes;

	/* A leaf, but held while the disk frees the space. */
	struct sync_mutex mu;
	/* Guarded by mu. */
	bool held;
	uint64_t given_ns; /* when it was given up; 0: never */
};

/* Needs mu. Where freed space can be used only once the freeing is on the disk,
   as on btrfs, it is brought there. */
static bool let_go(struct ballast *ballast)
{
	const uint64_t one = 1;

	bool given = ftruncate(ballast->fd, 0) == 0;

	(void)syncfs(ballast->fd); /* it is only sooner */
	ballast->held = false;
	ballast->given_ns = sync_now_ns();
	lsm_set_held(ballast->store, 0);
	(void)!write(ballast->event_fd, &one, sizeof(one));
	return given;
}

/* Others who find the disk full at the same time wait, and try again for a
   while. */
static bool give_up(void *ctx)
{
	struct ballast *ballast = ctx;
	bool given, first;

	sync_lock(&ballast->mu);
	first = ballast->held;
	if (first) {
		given = let_go(ballast);
	} else {
		given = ballast->given_ns != 0 &&
		        sync_now_ns() - ballast->given_ns < RETRY_NS;
		if (given)
			sync_sleep_ns(RETRY_EACH_NS);
	}
	sync_unlock(&ballast->mu);
	if (first)
		log_warning("the disk is full: what was held back for this is "
		            "used");
	return given;
}

static bool hold(struct ballast *ballast)
{
	bool held = fallocate(ballast->fd, 0, 0, (off_t)ballast->bytes) == 0;

	/* Some keep what they could get. */
	if (!held && ftruncate(ballast->fd, 0) != 0)
		log_debug("a part of the ballast stays");
	if (held)
		lsm_set_held(ballast->store, ballast->bytes);
	sync_lock(&ballast->mu);
	ballast->held = held;
	sync_unlock(&ballast->mu);
	return held;
}

bool ballast_restore(struct ballast *ballast)
{
	uint64_t total, left;
	uint64_t times;

	if (lsm_disk_space(ballast->store, &total, &left) != LSM_OK ||
	    left < ballast->bytes)
		return false;
	(void)read(ballast->event_fd, &times, sizeof(times));
	return hold(ballast);
}

int ballast_event(const struct ballast *ballast)
{
	return ballast == NULL ? -1 : ballast->event_fd;
}

int ballast_open(const char *path, struct lsm *store,
                 struct ballast **ballast_out)
{
	struct ballast *ballast;
	uint64_t total, left;
	int fd;

	*ballast_out = NULL;
	fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return 0;
	ballast = calloc(1, sizeof(*ballast));
	if (ballast == NULL) {
		close(fd);
		return ENOMEM;
	}
	ballast->store = store;
	ballast->fd = fd;
	ballast->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sync_mutex_init(&ballast->mu, SYNC_RANK_LEAF);
	*ballast_out = ballast;
	if (ballast->event_fd < 0)
		return EMFILE;
	if (lsm_disk_space(store, &total, &left) != LSM_OK)
		return 0;
	ballast->bytes = total / DISK_PART;
	if (ballast->bytes > MOST_BYTES)
		ballast->bytes = MOST_BYTES;
	if (ballast->bytes > 0 && left > ballast->bytes && hold(ballast))
		lsm_on_nospace(give_up, ballast);
	return 0;
}

void ballast_close(struct ballast *ballast)
{
	if (ballast == NULL)
		return;
	lsm_on_nospace(NULL, NULL);
	close(ballast->fd);
	if (ballast->event_fd >= 0)
		close(ballast->event_fd);
	sync_mutex_destroy(&ballast->mu);
	free(ballast);
}
