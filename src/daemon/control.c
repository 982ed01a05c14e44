/* SPDX-License-Identifier: MIT */
#include "daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"
#include "daemon/wire.h"

enum {
	MAX_CLIENTS = 64,
	BACKLOG = 16,
	NAME_MAX_LEN = 255,
	PROGRESS_NS = 200 * 1000000, /* between two messages */
};

/*
 *   FREE     no connection
 *   READING  a request is awaited, or partly here
 *   BUSY     an errand's thread has it, and alone writes to it
 *   WAITING  it wants to know of the end; kept open after that
 */
enum client_state { FREE, READING, BUSY, WAITING };

/* Belongs to the serving thread, and to an errand's thread while BUSY. */
struct client {
	enum client_state state;
	struct wire_peer peer;
	char *name;          /* of the fork to be made */
	bool done;           /* guarded by control->mu */
	struct client *next; /* guarded by control->mu */
};

struct control;

/* What takes long, one at a time, in a thread of its own. */
struct errand {
	struct control *control;
	/* Do it; the answer, NULL for ENOMEM. */
	json_t *(*run)(struct control *control, const struct client *client);
	struct sync_thread thread;
	struct client *first; /* guarded by control->mu, as is end */
	struct client **end;
};

struct control {
	/* Constant after open and start. */
	int store_fd;
	int listen_fd;
	int wake_fd; /* eventfd: stopping, or an errand is done */
	struct figures_source figures;
	const char *device;
	struct sync_thread server;

	struct client clients[MAX_CLIENTS]; /* see struct client */

	struct sync_mutex mu;
	struct sync_cond changed; /* an errand to do, or stopping */
	struct errand forks, compactions;
	bool stopping; /* guarded by mu */
};

/* ---- clients ------------------------------------------------------------ */

static void drop_client(struct client *client)
{
	wire_peer_close(&client->peer);
	free(client->name);
	*client = (struct client){.state = FREE};
}

static void accept_client(struct control *control)
{
	struct client *client = NULL;
	int fd;

	fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; client == NULL && i < MAX_CLIENTS; i++) {
		if (control->clients[i].state == FREE)
			client = &control->clients[i];
	}
	if (client == NULL)
		close(fd);
	else if (wire_peer_open(&client->peer, fd) == 0)
		client->state = READING;
}

/* ---- requests ----------------------------------------------------------- */

static int serve_stats(struct control *control, struct client *client)
{
	json_t *figures = figures_collect(&control->figures);
	json_t *reply = wire_ok();

	if (figures == NULL || reply == NULL) {
		json_decref(figures);
		json_decref(reply);
		return ENOMEM;
	}
	if (json_object_set_new(reply, "figures", figures) != 0) {
		json_decref(reply);
		return ENOMEM;
	}
	return wire_peer_answer(&client->peer, reply);
}

/* One component, so that a fork is made nowhere but in the passed folder. */
static bool is_name(const char *name)
{
	return name != NULL && name[0] != '\0' && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 && strchr(name, '/') == NULL &&
	       strlen(name) <= NAME_MAX_LEN;
}

static void send_on(struct errand *errand, struct client *client)
{
	struct control *control = errand->control;

	client->state = BUSY;
	sync_lock(&control->mu);
	client->done = false;
	client->next = NULL;
	*errand->end = client;
	errand->end = &client->next;
	sync_broadcast(&control->changed);
	sync_unlock(&control->mu);
}

static int serve_fork(struct control *control, struct client *client,
                      const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "name"));

	if (!is_name(name) || client->peer.passed_fd < 0)
		return wire_peer_answer(
		    &client->peer,
		    wire_failure(EINVAL, "not a name for a fork"));
	client->name = strdup(name);
	if (client->name == NULL)
		return ENOMEM;
	send_on(&control->forks, client);
	return 0;
}

static int serve_umount_wait(struct control *control, struct client *client,
                             const json_t *request)
{
	const char *device =
	    json_string_value(json_object_get(request, "device"));
	int err;

	if (device == NULL || strcmp(device, control->device) != 0)
		return wire_peer_answer(&client->peer,
		                        wire_failure(ENOENT, "another mount"));
	err = wire_peer_answer(&client->peer, wire_ok());
	if (err == 0)
		client->state = WAITING;
	return err;
}

/* An error ends the connection. */
static int serve_request(struct control *control, struct client *client,
                         const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));

	if (op == NULL)
		return EPROTO;
	if (strcmp(op, "stats") == 0)
		return serve_stats(control, client);
	if (strcmp(op, "fork") == 0)
		return serve_fork(control, client, request);
	if (strcmp(op, "compact") == 0) {
		send_on(&control->compactions, client);
		return 0;
	}
	if (strcmp(op, "umount-wait") == 0)
		return serve_umount_wait(control, client, request);
	return wire_peer_answer(&client->peer,
	                        wire_failure(EOPNOTSUPP, "unknown request"));
}

/* Serve what has come in whole, one message after another. */
static int serve_input(struct control *control, struct client *client)
{
	while (client->state == READING) {
		json_t *request;
		int err = wire_peer_next(&client->peer, &request);

		if (err != 0 || request == NULL)
			return err;
		err = serve_request(control, client, request);
		json_decref(request);
		if (err != 0)
			return err;
		if (client->state != BUSY)
			wire_peer_drop_passed(&client->peer);
	}
	return 0;
}

static int read_client(struct control *control, struct client *client)
{
	int err = wire_peer_read(&client->peer);

	return err != 0 ? err : serve_input(control, client);
}

/* ---- errands ------------------------------------------------------------ */

static bool is_stopping(struct control *control)
{
	bool stopping;

	sync_lock(&control->mu);
	stopping = control->stopping;
	sync_unlock(&control->mu);
	return stopping;
}

static json_t *make_fork(struct control *control, const struct client *client)
{
	char path[sizeof("/proc/self/fd//") + 12 + NAME_MAX_LEN];
	struct lsm_fork_info info;
	enum lsm_err err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s",
	         client->peer.passed_fd, client->name);
	err = lsm_export(fs_store(control->figures.fs), path, &info);
	if (err != LSM_OK)
		return wire_failure(lsm_errno(err), lsm_strerror(err));
	return json_pack("{s:i, s:b, s:I, s:I, s:I, s:I, s:I}", "version",
	                 WIRE_VERSION, "ok", 1, "sequence",
	                 (json_int_t)info.sequence, "files_linked",
	                 (json_int_t)info.files_linked, "files_reflinked",
	                 (json_int_t)info.files_reflinked, "files_copied",
	                 (json_int_t)info.files_copied, "bytes_flushed",
	                 (json_int_t)info.bytes_flushed);
}

/* Who waits for a compaction. */
struct watcher {
	struct control *control;
	const struct client *client;
	uint64_t due_ns; /* of the next message */
};

/* A peer that is gone cannot be told: that is how it cancels. */
static bool tell_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	struct watcher *watcher = ctx;
	uint64_t now = sync_now_ns();

	if (is_stopping(watcher->control))
		return false;
	if (now < watcher->due_ns)
		return true;
	watcher->due_ns = now + PROGRESS_NS;
	return wire_peer_answer(&watcher->client->peer,
	                        json_pack("{s:i, s:b, s:I, s:I}", "version",
	                                  WIRE_VERSION, "ok", 1, "done",
	                                  (json_int_t)done_bytes, "total",
	                                  (json_int_t)total_bytes)) == 0;
}

/* Nobody who reads is to expire: so far back as the oldest of them. */
static json_t *make_compaction(struct control *control,
                               const struct client *client)
{
	struct watcher watcher = {control, client, 0};
	const struct lsm_compaction how = {tell_progress, &watcher};
	struct lsm *store = fs_store(control->figures.fs);
	uint64_t up_to = lsm_oldest_sequence(store);
	enum lsm_err err = LSM_OK;

	if (up_to > 0) /* or nothing was ever written */
		err = lsm_compact(store, up_to, &how);
	if (err != LSM_OK)
		return wire_failure(lsm_errno(err), lsm_strerror(err));
	return json_pack("{s:i, s:b, s:b}", "version", WIRE_VERSION, "ok", 1,
	                 "finished", 1);
}

static void wake_server(struct control *control)
{
	uint64_t one = 1;

	/* It cannot fail: the counter is read far more often than it could
	   overflow. */
	while (write(control->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static struct client *next_client(struct errand *errand)
{
	struct control *control = errand->control;
	struct client *client;

	sync_lock(&control->mu);
	while (errand->first == NULL && !control->stopping)
		sync_wait(&control->changed, &control->mu);
	client = errand->first;
	if (client != NULL) {
		errand->first = client->next;
		if (errand->first == NULL)
			errand->end = &errand->first;
	}
	sync_unlock(&control->mu);
	return client;
}

static void run_errands(void *ctx)
{
	struct errand *errand = ctx;
	struct control *control = errand->control;
	struct client *client;

	while ((client = next_client(errand)) != NULL) {
		/* A peer that went away meanwhile is noticed by the server. */
		(void)wire_peer_answer(&client->peer,
		                       errand->run(control, client));
		sync_lock(&control->mu);
		client->done = true;
		sync_unlock(&control->mu);
		wake_server(control);
	}
}

static void errand_init(struct errand *errand, struct control *control,
                        json_t *(*run)(struct control *control,
                                       const struct client *client))
{
	errand->control = control;
	errand->run = run;
	errand->end = &errand->first;
}

/* Take back the clients whose errands are done. */
static void collect_clients(struct control *control)
{
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &control->clients[i];
		bool done;

		if (client->state != BUSY)
			continue;
		sync_lock(&control->mu);
		done = client->done;
		sync_unlock(&control->mu);
		if (!done)
			continue;
		free(client->name);
		client->name = NULL;
		wire_peer_drop_passed(&client->peer);
		client->state = READING;
		if (serve_input(control, client) != 0)
			drop_client(client);
	}
}

/* ---- the serving thread ------------------------------------------------- */

static void poll_once(struct control *control)
{
	struct pollfd fds[MAX_CLIENTS + 2] = {
	    {.fd = control->wake_fd, .events = POLLIN},
	    {.fd = control->listen_fd, .events = POLLIN},
	};
	uint64_t count;

	for (int i = 0; i < MAX_CLIENTS; i++) {
		const struct client *client = &control->clients[i];

		/* A negative descriptor is passed over. One that waits is only
		   watched for its end, which poll always tells. */
		fds[i + 2].fd =
		    client->state == READING || client->state == WAITING
			? client->peer.fd
			: -1;
		fds[i + 2].events = client->state == READING ? POLLIN : 0;
	}
	if (poll(fds, MAX_CLIENTS + 2, -1) < 0)
		return;

	if (fds[0].revents != 0 &&
	    read(control->wake_fd, &count, sizeof(count)) > 0)
		collect_clients(control);
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		if (fds[i + 2].revents == 0)
			continue;
		if (client->state == WAITING ||
		    read_client(control, client) != 0)
			drop_client(client);
	}
	/* Last: a new client may take the place of one dropped above. */
	if (fds[1].revents != 0)
		accept_client(control);
}

static void run_server(void *ctx)
{
	struct control *control = ctx;

	while (!is_stopping(control))
		poll_once(control);
}

/* ---- open and close ----------------------------------------------------- */

/* Whether a daemon answers at the socket that is there. */
static bool is_alive(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive;

	if (fd < 0)
		return true;
	alive = connect(fd, (const struct sockaddr *)address,
	                sizeof(*address)) == 0;
	close(fd);
	return alive;
}

static int bind_socket(struct control *control, bool read_only)
{
	struct sockaddr_un address;

	wire_address(control->store_fd, &address);
	/* Before bind(2), so that the file never has another mode. */
	if (fchmod(control->listen_fd, 0600) != 0)
		return errno;
	if (read_only && is_alive(&address))
		return EADDRINUSE;
	if (unlinkat(control->store_fd, WIRE_SOCKET_NAME, 0) != 0 &&
	    errno != ENOENT)
		return errno;
	if (bind(control->listen_fd, (const struct sockaddr *)&address,
	         sizeof(address)) != 0)
		return errno;
	return listen(control->listen_fd, BACKLOG) != 0 ? errno : 0;
}

static void destroy(struct control *control)
{
	if (control == NULL)
		return;
	if (control->store_fd >= 0)
		close(control->store_fd);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->wake_fd >= 0)
		close(control->wake_fd);
	sync_cond_destroy(&control->changed);
	sync_mutex_destroy(&control->mu);
	free(control);
}

static struct control *create(void)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		return NULL;
	control->store_fd = -1;
	control->listen_fd = -1;
	control->wake_fd = -1;
	errand_init(&control->forks, control, make_fork);
	errand_init(&control->compactions, control, make_compaction);
	sync_mutex_init(&control->mu, SYNC_RANK_LEAF);
	sync_cond_init(&control->changed);
	return control;
}

int control_open(const char *store, bool read_only,
                 struct control **control_out)
{
	struct control *control = create();
	int err = 0;

	*control_out = NULL;
	if (control == NULL)
		return ENOMEM;
	control->store_fd = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
	control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	control->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (control->store_fd < 0 || control->listen_fd < 0 ||
	    control->wake_fd < 0)
		err = errno;
	if (err == 0)
		err = bind_socket(control, read_only);

	if (err == 0) {
		*control_out = control;
		return 0;
	}
	destroy(control);
	if (read_only)
		return 0;
	log_error("%s/" WIRE_SOCKET_NAME ": %s", store, strerror(err));
	return err;
}

int control_start(struct control *control, const struct figures_source *figures,
                  const char *device)
{
	control->figures = *figures;
	control->device = device;
	if (sync_thread_start(&control->server, "control", run_server,
	                      control) != LSM_OK ||
	    sync_thread_start(&control->forks.thread, "control-fork",
	                      run_errands, &control->forks) != LSM_OK ||
	    sync_thread_start(&control->compactions.thread, "control-compact",
	                      run_errands, &control->compactions) != LSM_OK) {
		log_error("cannot start a thread for " WIRE_SOCKET_NAME);
		return ENOMEM;
	}
	return 0;
}

void control_stop(struct control *control)
{
	if (control == NULL)
		return;
	(void)unlinkat(control->store_fd, WIRE_SOCKET_NAME, 0);

	sync_lock(&control->mu);
	control->stopping = true;
	sync_broadcast(&control->changed);
	sync_unlock(&control->mu);
	wake_server(control);
	sync_thread_join(&control->server);
	sync_thread_join(&control->forks.thread);
	sync_thread_join(&control->compactions.thread);

	for (int i = 0; i < MAX_CLIENTS; i++) {
		if (control->clients[i].state == READING ||
		    control->clients[i].state == BUSY)
			drop_client(&control->clients[i]);
	}
}

void control_finish(struct control *control, int err)
{
	if (control == NULL)
		return;
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &control->clients[i];
		json_t *message;

		if (client->state != WAITING)
			continue;
		message =
		    err == 0 ? wire_ok() : wire_failure(err, strerror(err));
		if (message != NULL)
			(void)json_object_set_new(message, "closed",
			                          json_true());
		/* Who does not listen any more misses nothing. */
		(void)wire_peer_answer(&client->peer, message);
		buf_release(&client->peer.in);
	}
	destroy(control);
}
