/* SPDX-License-Identifier: MIT */
/* fswork_base.c: databases. */
#include "tests/bench/fswork.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

enum {
	COMMITS = 5000, /* of sqlite */
	PG_COMMITS = 10000,
	PG_CLIENTS = 4,
	ARG_BYTES = 64,
};

/* ---- sqlite3 -------------------------------------------------------------- */

/* One transaction for each line, as a program makes them. */
static int write_statements(const struct fswork_run *run, const char *path)
{
	uint64_t commits = fswork_scaled(run, COMMITS, 50);
	FILE *file = fopen(path, "we");

	if (file == NULL)
		return fswork_failed(path, errno);
	fprintf(file, "PRAGMA journal_mode=%s;\n", run->work->setting);
	fprintf(file, "CREATE TABLE t (id INTEGER PRIMARY KEY, who, what);\n"
	              "CREATE INDEX i ON t (who);\n");
	for (uint64_t n = 0; n < commits; n++)
		fprintf(file,
		        "INSERT INTO t VALUES (%llu, 'person %llu', "
		        "'%0100llu');\n",
		        (unsigned long long)n,
		        (unsigned long long)(n * 7919 % 1000),
		        (unsigned long long)n);
	return fclose(file) == 0 ? 0 : fswork_failed(path, errno);
}

static int sqlite(struct fswork_run *run)
{
	char path[PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "%s/statements.sql", run->scratch);
	err = write_statements(run, path);
	run->ops = fswork_scaled(run, COMMITS, 50);
	if (err != 0)
		return err;
	fswork_begin(run);
	return fswork_shell(run, "sqlite3 data <\"$SCRATCH/statements.sql\"",
	                    "");
}

/* ---- PostgreSQL ----------------------------------------------------------- */

/* The server refuses to be root. */
#define PG                                                                     \
	"bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); "                 \
	"pg() { program=$1; shift; runuser -u postgres -- \"$bin/$program\" "  \
	"\"$@\"; }; "                                                          \
	"export PGHOST=\"$SCRATCH\" PGDATABASE=postgres; "

static int pg_init(struct fswork_run *run)
{
	return fswork_shell(run,
	                    PG "mkdir pg; chown postgres pg; "
	                       "pg initdb -D pg/data -A trust",
	                    "");
}

static int pg_start(const struct fswork_run *run)
{
	return fswork_shell(
	    run,
	    PG "pg pg_ctl start -w -D pg/data -l \"$SCRATCH/pg.log\" "
	       "-o \"-k $SCRATCH -c listen_addresses=\"",
	    "");
}

static int pg_stop(const struct fswork_run *run)
{
	return fswork_shell(run, PG "pg pg_ctl stop -w -m fast -D pg/data", "");
}

/* `script` with a server that runs; only it is timed. */
static int pg_run(struct fswork_run *run, const char *script, uint64_t arg)
{
	char text[ARG_BYTES];
	int err = pg_start(run);
	int stop_err;

	if (err != 0)
		return err;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)arg);
	fswork_begin(run);
	err = fswork_shell(run, script, text);
	fswork_end(run);
	stop_err = pg_stop(run);
	return err != 0 ? err : stop_err;
}

static int pg_load(struct fswork_run *run)
{
	return pg_run(run, PG "pg pgbench -i -q -s $ARG",
	              fswork_scaled(run, 10, 1));
}

static int pg_one(struct fswork_run *run)
{
	run->ops = fswork_scaled(run, PG_COMMITS, 50);
	return pg_run(run, PG "pg pgbench -n -c 1 -t $ARG", run->ops);
}

static int pg_many(struct fswork_run *run)
{
	run->ops = fswork_scaled(run, PG_COMMITS, 50);
	return pg_run(run, PG "pg pgbench -n -c 4 -j 2 -t $ARG",
	              run->ops / PG_CLIENTS);
}

const struct fswork fsworks_base[] = {
    {
	.name = "sqlite-delete",
	.help = "5,000 transactions, with a rollback journal",
	.tools = "sqlite3",
	.setting = "DELETE",
	.phases = {{"commit", sqlite, FSWORK_SYNC, 1.0}},
    },
    {
	.name = "sqlite-wal",
	.help = "the same with a write-ahead log",
	.tools = "sqlite3",
	.setting = "WAL",
	.phases = {{"commit", sqlite, FSWORK_SYNC, 1.0}},
    },
    {
	.name = "postgres",
	.help = "initdb, and pgbench of 10,000 transactions",
	.tools = "initdb pg_ctl pgbench runuser",
	.phases =
	    {
		{"initdb", pg_init, FSWORK_SYNC, 0},
		{"load", pg_load, FSWORK_SYNC, 0},
		{"pgbench-1", pg_one, FSWORK_SYNC, 0},
		{"pgbench-4", pg_many, FSWORK_SYNC, 0},
	    },
    },
    {.name = NULL},
};
