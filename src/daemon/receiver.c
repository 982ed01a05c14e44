/* SPDX-License-Identifier: MIT */
#include "daemon/receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/sync.h"

enum {
	/* More processors than that are not all kept awake unasked. */
	HOLD_MAX_PROCESSORS = 4,

	SPIN_MAX_NS = 50000,
	SPIN_MIN_NS = 5000,
	/* Between two looks: somebody else had the processor. */
	INTERRUPTED_NS = 20000,
};

/* Another descriptor of the connection; -1 where the kernel has none. */
static int clone_connection(int fd)
{
	uint32_t original = (uint32_t)fd;
	int clone = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (clone >= 0 && ioctl(clone, FUSE_DEV_IOC_CLONE, &original) != 0) {
		close(clone);
		clone = -1;
	}
	return clone;
}

static bool may_hold(enum receiver_wakeup wakeup)
{
	return wakeup == RECEIVER_HOLD ||
	       (wakeup == RECEIVER_AUTO &&
	        sync_processors() <= HOLD_MAX_PROCESSORS);
}

void receiver_open(struct receiver *receiver, int fd,
                   enum receiver_wakeup wakeup)
{
	*receiver = (struct receiver){.fd = fd, .spin_fd = -1};
	/* With one there is nobody to wait for: whoever asks needs it. */
	if (wakeup == RECEIVER_SLEEP || sync_processors() < 2)
		return;
	if (may_hold(wakeup) && awake_open(&receiver->awake) == 0)
		return;
	receiver->spin_fd = clone_connection(fd);
}

void receiver_close(struct receiver *receiver)
{
	if (receiver->spin_fd >= 0)
		close(receiver->spin_fd);
	receiver->spin_fd = -1;
	awake_close(receiver->awake);
	receiver->awake = NULL;
}

static uint64_t longer(uint64_t ns)
{
	if (ns < SPIN_MIN_NS)
		return SPIN_MIN_NS;
	return ns * 2 < SPIN_MAX_NS ? ns * 2 : SPIN_MAX_NS;
}

static uint64_t shorter(uint64_t ns)
{
	return ns / 2 < SPIN_MIN_NS ? 0 : ns / 2;
}

/* Look until there is a request or it is time to sleep: then -1, EAGAIN. */
static ssize_t look(struct receiver *receiver, void *data, size_t len)
{
	uint64_t start = sync_now_ns();
	uint64_t now = start;

	for (;;) {
		ssize_t got = read(receiver->spin_fd, data, len);
		uint64_t before = now;

		if (got >= 0 || errno != EAGAIN)
			return got;
		now = sync_now_ns();
		if (now - before > INTERRUPTED_NS)
			receiver->spin_ns = shorter(receiver->spin_ns);
		else if (now - start < receiver->spin_ns)
			continue;
		errno = EAGAIN;
		return -1;
	}
}

/* Sleep until there is a request, and learn from how long that took. */
static ssize_t sleep_until_one(struct receiver *receiver, void *data,
                               size_t len)
{
	uint64_t start = sync_now_ns();
	ssize_t got = read(receiver->fd, data, len);

	if (got >= 0)
		receiver->spin_ns = sync_now_ns() - start < SPIN_MAX_NS
		                        ? longer(receiver->spin_ns)
		                        : shorter(receiver->spin_ns);
	return got;
}

static void count(_Atomic uint64_t *figure)
{
	atomic_fetch_add_explicit(figure, 1, memory_order_relaxed);
}

ssize_t receiver_read(struct receiver *receiver, void *data, size_t len,
                      int *fd_out)
{
	ssize_t got = -1;

	if (receiver->spin_ns > 0) {
		*fd_out = receiver->spin_fd;
		got = look(receiver, data, len);
		if (got >= 0)
			count(&receiver->spun);
		else if (errno != EAGAIN)
			return -1;
	}
	if (got < 0) {
		*fd_out = receiver->fd;
		got = receiver->spin_fd >= 0
		          ? sleep_until_one(receiver, data, len)
		          : read(receiver->fd, data, len);
	}
	if (got >= 0) {
		count(&receiver->received);
		if (receiver->awake != NULL)
			awake_note(receiver->awake);
	}
	return got;
}
