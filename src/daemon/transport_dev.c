/* SPDX-License-Identifier: MIT */
/*
 * transport_dev.c: threads that block in read(2) on /dev/fuse.
 *
 * One reader receives, the others stand by: on few processors, several that
 * receive cost wake-ups and fight for locks. Where what it runs must wait, for
 * a disk or for another thread (sync_on_wait()), it hands over to one of those
 * first, and stands by afterwards.
 *
 * A reader runs a request where it was received, unless it is slow or its
 * credit is not free. Then the request is held: moved off the reader in a
 * buffer of its own, and run on a lane once it can go on. Held bytes are
 * limited; past the limit readers receive nothing until some are answered.
 *
 *   received -> run here                                  -> answered
 *   received -> held -> slow lane                         -> answered
 *   received -> held -> waits for credit -> quick lane    -> answered
 *
 * The end: an unmount gives every reader ENODEV. transport_stop() wakes readers
 * with a signal instead, again and again, because a signal that comes just
 * before read(2) is not noticed by it.
 *
 * Locks: dev->mu, a leaf.
 */
#include "daemon/transport.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"
#include "daemon/answer.h"
#include "daemon/ops.h"
#include "daemon/request.h"

enum {
	MAX_READERS = 8,
	/* Held requests up to this size are copied, so that one of a few bytes
	   does not keep a buffer of a mebibyte. */
	COPY_MAX_BYTES = 16 << 10,
	MAX_SPARE_BUFFERS = 2,
	WAKE_SIGNAL = SIGUSR1,
	WAKE_AGAIN_MS = 5,
};

struct request {
	struct lane_job job; /* first */
	struct lsm_admit_request admit;
	struct dev *dev;
	struct request *next_spare;
	size_t capacity;
	size_t len;
	int err; /* why it got no credit */
	bool drops_set_id;
	int fd; /* where it came from */
	_Alignas(8) uint8_t data[];
};

struct reader {
	struct dev *dev;
	struct sync_thread thread;
	pid_t tid;     /* 0: not running; guarded by dev->mu */
	bool receives; /* its own: it is the one */
};

struct dev {
	struct transport transport; /* first */

	/* Constant after start. */
	struct transport_config config;
	struct reader readers[MAX_READERS];
	unsigned reader_count;

	atomic_uint receiving;    /* 1: a reader receives; 0: one may begin */
	struct receiver receiver; /* of the one that receives */
	_Atomic uint64_t handed_over; /* relaxed: a figure */

	/* Set once; relaxed, since the signal that follows makes it seen. */
	_Atomic bool stopping;

	struct sync_mutex mu;
	struct sync_cond changed; /* held less, or a reader left */

	/* All below: guarded by mu. */
	unsigned running; /* readers */
	uint64_t held;    /* requests off the readers, unanswered */
	uint64_t held_bytes, held_peak_bytes;
	uint64_t parked; /* requests that ever waited for credit */
	struct request *spare;
	unsigned spare_count;
	bool ready_told;
};

/* ---- buffers ------------------------------------------------------------ */

static struct request *request_create(struct dev *dev, size_t capacity)
{
	struct request *request = NULL;

	if (capacity == REQUEST_MAX_BYTES) {
		sync_lock(&dev->mu);
		request = dev->spare;
		if (request != NULL) {
			dev->spare = request->next_spare;
			dev->spare_count--;
		}
		sync_unlock(&dev->mu);
	}
	if (request == NULL)
		request = malloc(sizeof(*request) + capacity);
	if (request == NULL)
		return NULL;

	*request = (struct request){.dev = dev, .capacity = capacity};
	return request;
}

static void request_destroy(struct request *request)
{
	struct dev *dev;

	if (request == NULL)
		return;
	dev = request->dev;
	if (request->capacity == REQUEST_MAX_BYTES) {
		sync_lock(&dev->mu);
		if (dev->spare_count < MAX_SPARE_BUFFERS) {
			request->next_spare = dev->spare;
			dev->spare = request;
			dev->spare_count++;
			request = NULL;
		}
		sync_unlock(&dev->mu);
	}
	free(request);
}

/* ---- held requests ------------------------------------------------------ */

static void hold(struct dev *dev, const struct request *request, bool parked)
{
	sync_lock(&dev->mu);
	dev->held++;
	dev->held_bytes += request->capacity;
	if (dev->held_bytes > dev->held_peak_bytes)
		dev->held_peak_bytes = dev->held_bytes;
	dev->parked += parked;
	sync_unlock(&dev->mu);
}

static void let_go(struct dev *dev, const struct request *request)
{
	sync_lock(&dev->mu);
	assert(dev->held > 0);
	dev->held--;
	dev->held_bytes -= request->capacity;
	sync_broadcast(&dev->changed);
	sync_unlock(&dev->mu);
}

/* Hand the request to libfuse, which calls the operation, which replies. */
static void run_request(struct request *request, struct ops_call *call)
{
	struct fuse_buf buf = {.mem = request->data, .size = request->len};

	if (request->dev->config.disguises)
		call->disguised = request_disguise(request->data, request->len);
	answer_expect(request->fd, request->data, request->len);
	ops_call_begin(call);
	fuse_session_process_buf(request->dev->config.session, &buf);
	ops_call_end(call);
	ops_call_begin(NULL);
}

/* On a lane: the request has its credit, or an error, or needs neither. */
static void run_held(struct lane_job *job)
{
	struct request *request = (struct request *)job;
	struct dev *dev = request->dev;
	struct ops_call call = {.admission = request->admit.admission,
	                        .err = request->err,
	                        .drops_set_id = request->drops_set_id};

	run_request(request, &call);
	buf_release(&call.scratch);
	let_go(dev, request);
	/* Not the spare list: transport_stop() may be emptying it already. */
	free(request);
}

/* From a thread of the engine: no more than passing it on. */
static void on_granted(struct lsm_admit_request *admit, enum lsm_err err)
{
	struct request *request =
	    (struct request *)((char *)admit - offsetof(struct request, admit));

	request->err = fs_errno(err);
	lane_push(request->dev->config.quick, &request->job);
}

/*
 * Take what was received off the reader, to be run as a job: small requests are
 * copied, others moved, and *own_request then is a fresh buffer. NULL when memory
 * is short; then nothing has changed.
 */
static struct request *detach(struct dev *dev, const struct request_plan *plan,
                              struct request **own_request)
{
	struct request *received = *own_request;
	bool copies = received->len <= COPY_MAX_BYTES;
	struct request *fresh =
	    request_create(dev, copies ? received->len : REQUEST_MAX_BYTES);
	struct request *detached = copies ? fresh : received;

	if (fresh == NULL)
		return NULL;
	if (copies) {
		memcpy(fresh->data, received->data, received->len);
		fresh->fd = received->fd;
		fresh->len = received->len;
	} else {
		*own_request = fresh;
	}
	detached->job.run = run_held;
	detached->drops_set_id = plan->drops_set_id;
	return detached;
}

/* ---- one request -------------------------------------------------------- */

static void fail_here(struct request *request, struct ops_call *call, int err)
{
	call->err = err;
	run_request(request, call);
}

/* No credit is free for it, so it waits without a thread. */
static void park(struct dev *dev, const struct request_plan *plan,
                 struct request **own_request, struct ops_call *call)
{
	struct request *request = detach(dev, plan, own_request);
	enum lsm_err err;
	bool granted;

	if (request == NULL) {
		fail_here(*own_request, call, ENOMEM);
		return;
	}
	request->admit.granted = on_granted;
	hold(dev, request, true);
	err = lsm_admit_async(fs_store(dev->config.fs), plan->credit_bytes,
	                      plan->shrinking, &request->admit, &granted);
	if (err == LSM_ERR_NOSPACE) {
		/* A flush may yet make room: wait for it on the slow lane, where
		   the operation takes its credit itself. */
		lane_push(dev->config.slow, &request->job);
		return;
	}
	/* Unless it is one of these, the request is not ours any more. */
	if (err != LSM_OK || granted) {
		call->err = fs_errno(err);
		if (granted)
			call->admission = request->admit.admission;
		run_request(request, call);
		let_go(dev, request);
		request_destroy(request);
	}
}

static void pass_on(struct dev *dev, const struct request_plan *plan,
                    struct request **own_request, struct ops_call *call)
{
	struct request *request = detach(dev, plan, own_request);

	if (request == NULL) {
		fail_here(*own_request, call, ENOMEM);
		return;
	}
	hold(dev, request, false);
	lane_push(dev->config.slow, &request->job);
}

/* libfuse answered INIT, or gave the session up because it cannot agree with
   the kernel. */
static void tell_ready(struct dev *dev)
{
	bool tell;

	sync_lock(&dev->mu);
	tell = !dev->ready_told;
	dev->ready_told = true;
	sync_unlock(&dev->mu);
	if (tell)
		dev->config.on_ready(dev->config.ctx,
		                     !fuse_session_exited(dev->config.session));
}

static void serve(struct dev *dev, struct request **own_request,
                  struct ops_call *call)
{
	struct request *request = *own_request;
	struct request_plan plan;

	request_plan(dev->config.fs, request->data, request->len, &plan);
	call->drops_set_id = plan.drops_set_id;
	if (plan.slow) {
		pass_on(dev, &plan, own_request, call);
	} else if (plan.credit_bytes == 0 ||
	           lsm_try_admit(fs_store(dev->config.fs), plan.credit_bytes,
	                         plan.shrinking, &call->admission)) {
		run_request(request, call);
		if (plan.is_init)
			tell_ready(dev);
	} else {
		park(dev, &plan, own_request, call);
	}
}

/* ---- who receives ------------------------------------------------------- */

/* Wait for the right to receive, and take it. False when stopping. */
static bool begin_receiving(struct reader *reader)
{
	struct dev *dev = reader->dev;

	while (!reader->receives) {
		unsigned nobody = 0;

		if (atomic_load_explicit(&dev->stopping, memory_order_relaxed))
			return false;
		if (atomic_compare_exchange_strong(&dev->receiving, &nobody, 1))
			reader->receives = true;
		else
			sync_word_wait(&dev->receiving, 1, 0, SYNC_ANYBODY);
	}
	return true;
}

static void end_receiving(struct reader *reader)
{
	if (!reader->receives)
		return;
	reader->receives = false;
	atomic_store(&reader->dev->receiving, 0);
	sync_word_wake(&reader->dev->receiving, 1, SYNC_ANYBODY);
}

/* What this reader runs must wait: another one receives meanwhile. */
static void hand_over(void *ctx)
{
	struct reader *reader = ctx;

	sync_on_wait(NULL, NULL);
	atomic_fetch_add_explicit(&reader->dev->handed_over, 1,
	                          memory_order_relaxed);
	end_receiving(reader);
}

/* ---- readers ------------------------------------------------------------ */

/* Wait until held bytes are within the limit. */
static void wait_for_room(struct dev *dev)
{
	sync_lock(&dev->mu);
	while (dev->held_bytes > dev->config.parked_limit_bytes &&
	       !atomic_load_explicit(&dev->stopping, memory_order_relaxed))
		sync_wait(&dev->changed, &dev->mu);
	sync_unlock(&dev->mu);
}

/* False when there is nothing more to receive. */
static bool receive(struct dev *dev, struct request *request)
{
	for (;;) {
		ssize_t got;

		if (atomic_load_explicit(&dev->stopping, memory_order_relaxed))
			return false;
		got = receiver_read(&dev->receiver, request->data,
		                    REQUEST_MAX_BYTES, &request->fd);
		if (got >= 0) {
			request->len = (size_t)got;
			return true;
		}
		/* ENOENT: the request was interrupted while being read. */
		if (errno == EINTR || errno == ENOENT || errno == EAGAIN)
			continue;
		if (errno != ENODEV && errno != ECONNABORTED)
			log_error("/dev/fuse: %s", strerror(errno));
		return false;
	}
}

/* The new number of readers that run. */
static unsigned count_reader(struct reader *reader, pid_t tid)
{
	struct dev *dev = reader->dev;
	unsigned running;

	sync_lock(&dev->mu);
	reader->tid = tid;
	if (tid == 0)
		dev->running--;
	running = dev->running;
	sync_broadcast(&dev->changed);
	sync_unlock(&dev->mu);
	return running;
}

static void run_reader(void *ctx)
{
	struct reader *reader = ctx;
	struct dev *dev = reader->dev;
	void (*on_end)(void *) = dev->config.on_end;
	void *on_end_ctx = dev->config.ctx;
	struct ops_call call = {0};
	struct request *request;
	sigset_t wake;

	sigemptyset(&wake);
	sigaddset(&wake, WAKE_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	(void)count_reader(reader, gettid());

	request = request_create(dev, REQUEST_MAX_BYTES);
	if (request == NULL)
		log_error("out of memory for a request");
	while (request != NULL && begin_receiving(reader) &&
	       receive(dev, request)) {
		sync_on_wait(hand_over, reader);
		serve(dev, &request, &call);
		sync_on_wait(NULL, NULL);
		wait_for_room(dev);
	}
	end_receiving(reader);

	request_destroy(request);
	buf_release(&call.scratch);
	if (count_reader(reader, 0) == 0)
		on_end(on_end_ctx);
}

/* ---- the table ---------------------------------------------------------- */

static void ignore_signal(int number)
{
	(void)number;
}

/* Interrupts read(2), does nothing else. */
static void catch_wake_signal(void)
{
	struct sigaction action = {.sa_handler = ignore_signal};

	sigemptyset(&action.sa_mask);
	sigaction(WAKE_SIGNAL, &action, NULL);
}

static void wake_readers(struct dev *dev)
{
	sync_lock(&dev->mu);
	while (dev->running > 0) {
		for (unsigned i = 0; i < dev->reader_count; i++) {
			if (dev->readers[i].tid != 0)
				syscall(SYS_tgkill, getpid(),
				        dev->readers[i].tid, WAKE_SIGNAL);
		}
		sync_broadcast(&dev->changed);
		(void)sync_wait_until(&dev->changed, &dev->mu,
		                      sync_now_ns() + WAKE_AGAIN_MS * 1000000U);
	}
	sync_unlock(&dev->mu);
}

static void stop(struct transport *transport)
{
	struct dev *dev = (struct dev *)transport;

	if (dev == NULL)
		return;
	atomic_store_explicit(&dev->stopping, true, memory_order_relaxed);
	wake_readers(dev);
	for (unsigned i = 0; i < dev->reader_count; i++)
		sync_thread_join(&dev->readers[i].thread);

	sync_lock(&dev->mu);
	while (dev->held > 0)
		sync_wait(&dev->changed, &dev->mu);
	sync_unlock(&dev->mu);

	while (dev->spare != NULL) {
		struct request *request = dev->spare;

		dev->spare = request->next_spare;
		free(request);
	}
	receiver_close(&dev->receiver);
	sync_cond_destroy(&dev->changed);
	sync_mutex_destroy(&dev->mu);
	free(dev);
}

static int start(const struct transport_config *config,
                 struct transport **transport_out)
{
	struct dev *dev;
	int err;

	assert(config->readers > 0);
	*transport_out = NULL;
	err = answer_install(config->session);
	if (err != 0)
		return err;
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return ENOMEM;

	dev->transport.ops = &transport_dev;
	dev->config = *config;
	receiver_open(&dev->receiver, fuse_session_fd(config->session),
	              config->wakeup);
	dev->reader_count =
	    config->readers < MAX_READERS ? config->readers : MAX_READERS;
	dev->running = dev->reader_count;
	sync_mutex_init(&dev->mu, SYNC_RANK_LEAF);
	sync_cond_init(&dev->changed);
	catch_wake_signal();

	for (unsigned i = 0; i < dev->reader_count; i++) {
		struct reader *reader = &dev->readers[i];

		reader->dev = dev;
		if (sync_thread_start(&reader->thread, "reader", run_reader,
		                      reader) != LSM_OK) {
			sync_lock(&dev->mu);
			dev->running -= dev->reader_count - i;
			sync_unlock(&dev->mu);
			dev->reader_count = i;
			stop(&dev->transport);
			return ENOMEM;
		}
	}
	*transport_out = &dev->transport;
	return 0;
}

static void stats(struct transport *transport, struct transport_stats *stats)
{
	struct dev *dev = (struct dev *)transport;

	sync_lock(&dev->mu);
	*stats = (struct transport_stats){
	    .parked_bytes = dev->held_bytes,
	    .parked_peak_bytes = dev->held_peak_bytes,
	    .parked = dev->parked,
	    .received = dev->receiver.received,
	    .spun = dev->receiver.spun,
	    .handed_over = dev->handed_over,
	};
	sync_unlock(&dev->mu);
	if (dev->receiver.awake != NULL)
		stats->held_awake = awake_count(dev->receiver.awake);
}

const struct transport_ops transport_dev = {
    .start = start,
    .stop = stop,
    .stats = stats,
};
