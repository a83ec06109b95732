/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs about the journal as a whole. They read and write this machine's state,
 * so they need the fleet's own uid.
 */
#include "cli.h"

#include "database.h"
#include "doctor.h"

#include <move.h>
#include <state.h>
#include <supervisor.h>

#include <string.h>
#include <unistd.h>

enum { STATEMENT_MS = 3600 * 1000 }; /* a large journal in one transaction */

static const struct cli_option migrate_options[] = {
	{ "--to", "KIND", CLI_LOCAL, NULL, true, "postgres, or lmdb: back into the state directory", NULL },
	{ "--config", "FILE", CLI_LOCAL, NULL, false, "whose journal.postgres is the schema owner's: url, password_file, ca_file", NULL },
	{ 0 },
};

static enum cli_exit
hash_of(const char *state, const char *verb, struct backup_sum *sum)
{
	char why[512];
	ag_err err = backup_state_hash(state, sum, why, sizeof(why));

	if (err == AG_OK)
		return CLI_OK;
	return cli_fail(err == AG_ITEM_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAULT,
	    "%s: %s", verb, why);
}

static enum cli_exit
journal_hash(struct cli *cli)
{
	struct backup_sum sum = { .rows = 0 };
	char state[STATE_PATH_MAX], hash[2 * AG_HASH_BYTES + 1];
	enum cli_exit status;

	if (!ag_state_dir_find(cli->state, state, sizeof(state)))
		return cli_fail(CLI_USAGE, "--state: no usable directory (name one)");
	if ((status = hash_of(state, "journal hash", &sum)) != CLI_OK)
		return status;
	ag_hex(sum.hash, AG_HASH_BYTES, hash);
	if (cli->json)
		printf("{\"state_hash\":\"%s\",\"journal_rows\":%llu}\n", hash,
		    (unsigned long long)sum.rows);
	else
		cli_say("%s", hash);
	return CLI_OK;
}

/* ----------------------------------------------------------------- migrate */

static void
show_records(void *arg, unsigned long long records)
{
	cli_working(arg, "records", records);
}

static enum cli_exit
refused(const struct move *m, ag_err err)
{
	switch (err) {
	case AG_CONFLICT:
		return cli_fail(CLI_CONFLICT, "journal migrate: %s", m->why);
	case AG_ITEM_NOT_FOUND:
		return cli_fail(CLI_NOT_FOUND, "journal migrate: %s", m->why);
	case AG_IO:
	case AG_TIMEOUT:
	case AG_UNAVAILABLE:
		return cli_fail(m->link.state[0] == '\0' ? CLI_TRY_AGAIN : CLI_FAULT,
		    "journal migrate: %s", m->why);
	default:
		return cli_fail(CLI_FAULT, "journal migrate: %s", m->why[0] != '\0' ?
		    m->why : ag_err_row(err)->name);
	}
}

static void
print_moved(const struct cli *cli, const struct move *m, const char *to,
    const struct backup_sum *state)
{
	char history[2 * AG_HASH_BYTES + 1], hash[2 * AG_HASH_BYTES + 1];

	ag_hex(m->sum.hash, AG_HASH_BYTES, history);
	ag_hex(state->hash, AG_HASH_BYTES, hash);
	if (cli->json) {
		printf("{\"to\":\"%s\",\"journal\":\"%s\",\"node\":\"%s\",\"records\""
		    ":%llu,\"streams\":%llu,\"answers\":%llu,\"history_hash\":"
		    "\"%s\",\"state_hash\":\"%s\",\"resumed\":%s}\n", to, m->id,
		    m->node, (unsigned long long)m->sum.records,
		    (unsigned long long)m->sum.streams,
		    (unsigned long long)m->sum.answers, history, hash,
		    m->resumed ? "true" : "false");
		return;
	}
	if (cli->quiet)
		return;
	cli_say("%llu records of %llu streams and %llu kept answers, the same on "
	    "both sides: history %s", (unsigned long long)m->sum.records,
	    (unsigned long long)m->sum.streams,
	    (unsigned long long)m->sum.answers, history);
	cli_say("state hash of the state directory's journal: %s", hash);
	cli_say("now set journal.kind: %s, and start the fleet", to);
}

/* The state hash is that of the journal that stands by itself: before it becomes
 * a copy, after it has been one. */
static enum cli_exit
move(const struct cli *cli, const char *state, const struct pg_server *server,
    bool there)
{
	static struct move m;
	struct backup_sum sum = { .rows = 0 };
	enum cli_exit status = CLI_OK;
	ag_err err;

	m.timeout_ms = STATEMENT_MS;
	m.moved = show_records;
	m.moved_arg = (void *)(uintptr_t)cli;
	if (there)
		status = hash_of(state, "journal migrate", &sum);
	if (status != CLI_OK)
		return status;
	err = there ? move_there(&m, state, server) : move_here(&m, state, server);
	move_close(&m);
	cli_progress_end(cli);
	if (err != AG_OK)
		return refused(&m, err);
	if (!there)
		status = hash_of(state, "journal migrate", &sum);
	if (status == CLI_OK)
		print_moved(cli, &m, there ? "postgres" : "lmdb", &sum);
	return status;
}

/* Ours, at rest, and written by a version that this one understands. */
static enum cli_exit
take_state(const struct cli *cli, char *state, int *lock_fd)
{
	struct ag_finding finding = { .grade = AG_UNKNOWN };

	if (!ag_state_dir_find(cli->state, state, STATE_PATH_MAX))
		return cli_fail(CLI_USAGE, "--state: no usable directory (name one)");
	if (access(state, F_OK) != 0)
		return cli_fail(CLI_NOT_FOUND, "journal migrate: %s: there is no state "
		    "directory", state);
	ag_look_dir(state, &finding);
	if (finding.grade != AG_WRONG)
		ag_look_version(state, &finding);
	if (finding.grade == AG_WRONG)
		return cli_fail((enum cli_exit)finding.exit_status,
		    "journal migrate: %s", finding.what);
	return (enum cli_exit)ag_state_take("journal migrate", state, lock_fd);
}

static enum cli_exit
journal_migrate(struct cli *cli)
{
	static struct pg_server server; /* large */
	const char *to = cli_get(cli, "--to");
	bool there = strcmp(to, "postgres") == 0;
	char state[STATE_PATH_MAX];
	enum cli_exit status;
	int lock_fd = -1;

	if (!there && strcmp(to, "lmdb") != 0)
		return cli_fail(CLI_USAGE, "--to: %s: postgres or lmdb", to);
	if (ag_secret_init() != AG_OK)
		return cli_fail(CLI_FAULT, "journal migrate: no locked memory");
	if ((status = take_state(cli, state, &lock_fd)) != CLI_OK)
		return status;
	if ((status = cli_database(cli, "journal migrate", state, &server)) == CLI_OK)
		status = move(cli, state, &server, there);
	ag_secret_free(&server.password);
	close(lock_fd);
	return status;
}

const struct cli_verb cli_verbs_journal[] = {
	{ "journal", "hash", NULL, NULL, NULL, CLI_SILENT, NULL, journal_hash,
	    "the hash of the journal's state", NULL, NULL },
	{ "journal", "migrate", migrate_options, NULL, NULL, CLI_SILENT, NULL,
	    journal_migrate, "move a stopped fleet's journal into PostgreSQL, or back",
	    NULL, NULL },
	{ 0 },
};
