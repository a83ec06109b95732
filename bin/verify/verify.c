/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: aegis audit verify. Options in, one verdict out.
 */
#include "verify.h"
#include "walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_SOUND = 0, EXIT_BROKEN = 1, EXIT_INPUT = 2 };

struct options {
	const char *dir, *public_key, *tenant, *checkpoint, *write_checkpoint;
	const char *proof, *consistency;
	const char *state; /* of the whole command: not needed here */
};

static const char usage[] =
    "usage: aegis audit verify --dir DIR --public-key FILE [--tenant T]\n"
    "           [--checkpoint FILE] [--write-checkpoint FILE]\n"
    "       aegis audit verify --proof FILE --public-key FILE [--tenant T]\n"
    "       aegis audit verify --consistency FILE --public-key FILE [--tenant T]\n"
    "           [--checkpoint FILE]\n";

static bool
parse(int argc, char **argv, struct options *o)
{
	const struct {
		const char *name;
		const char **value;
	} rows[] = {
		{ "--dir", &o->dir },
		{ "--public-key", &o->public_key },
		{ "--tenant", &o->tenant },
		{ "--checkpoint", &o->checkpoint },
		{ "--write-checkpoint", &o->write_checkpoint },
		{ "--proof", &o->proof },
		{ "--consistency", &o->consistency },
		{ "--state", &o->state },
	};

	for (int i = 1; i < argc; i++) {
		size_t r, n = 0, len;

		for (r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
			len = strlen(rows[r].name);
			if (strncmp(argv[i], rows[r].name, len) == 0 &&
			    (argv[i][len] == '\0' || argv[i][len] == '=')) {
				n = len;
				break;
			}
		}
		if (n == 0)
			return false;
		if (argv[i][n] == '=')
			*rows[r].value = argv[i] + n + 1;
		else if (++i < argc)
			*rows[r].value = argv[i];
		else
			return false;
	}
	return (o->dir != NULL) + (o->proof != NULL) +
	    (o->consistency != NULL) == 1 && o->public_key != NULL;
}

static int
input_error(const char *what, const char *why)
{
	fprintf(stderr, "aegis: %s: %s\n", what, why);
	return EXIT_INPUT;
}

static void
print_chain(const struct chain *c)
{
	char hash[2 * AG_HASH_BYTES + 1];

	ag_hex(c->hash, AG_HASH_BYTES, hash);
	printf("tenant %s: %llu events, head %s, signed up to %llu\n", c->tenant,
	    (unsigned long long)(c->seq - c->base_seq), hash,
	    (unsigned long long)c->signed_head.size);
}

/* What a log whose beginning was removed cannot show any more. */
static void
print_cut(const struct verify *v)
{
	char at[AG_TIME_TEXT];

	ag_time_text(v->first_signed_at, at);
	printf("cut: %llu events were removed, as signed at %s\n",
	    (unsigned long long)v->first - 1, at);
	for (size_t i = 0; i < v->chain_count; i++) {
		const struct chain *c = v->chains[i];

		if (c->base_seq == 0)
			continue;
		printf("cut: tenant %s is kept from event %llu on\n", c->tenant,
		    (unsigned long long)c->base_seq + 1);
		if (c->kept.size > 0 && c->kept.size < c->base_seq)
			printf("cut: the checkpoint given for %s covers %llu events, "
			    "which are gone: it proves nothing here\n", c->tenant,
			    (unsigned long long)c->kept.size);
	}
}

/* Events that no head covers. A cut is signed over what it took. */
static uint64_t
uncovered(const struct chain *c)
{
	uint64_t covered = c->signed_head.size > c->base_seq ?
	    c->signed_head.size : c->base_seq;

	return c->seq - covered;
}

static int
print_sound(const struct verify *v)
{
	char hash[2 * AG_HASH_BYTES + 1];
	uint64_t unsigned_count = 0;

	if (v->cuts > 0)
		printf("recovered after a crash: %llu cuts, %llu bytes%s\n",
		    (unsigned long long)v->cuts, (unsigned long long)v->cut_bytes,
		    v->cuts_unsigned > 0 ? ", not all of them signed for" : "");
	if (v->first > 1)
		print_cut(v);
	for (size_t i = 0; i < v->chain_count; i++) {
		const struct chain *c = v->chains[i];

		if (c->seq == 0)
			continue;
		if (v->chain_count > 1)
			print_chain(c);
		unsigned_count += uncovered(c);
	}
	ag_hex(v->last->hash, AG_HASH_BYTES, hash);
	printf("audit: %llu events verified, head %llu %s, unsigned %llu\n",
	    (unsigned long long)v->events, (unsigned long long)v->last->seq, hash,
	    (unsigned long long)unsigned_count);
	return EXIT_SOUND;
}

/* What was proved elsewhere, without the log. */
static int
run_proof(struct verify *v, const char *path, const char *tenant,
    ag_err (*check)(struct verify *v, const char *path, const char *tenant))
{
	ag_err err;

	if (access(path, R_OK) != 0)
		return input_error(path, strerror(errno));
	err = check(v, path, tenant);
	if (err == AG_USAGE)
		return input_error(path, v->what);
	if (err != AG_OK)
		printf("audit: not proved: %s\n", v->what);
	return err == AG_OK ? EXIT_SOUND : EXIT_BROKEN;
}

static int
run(struct verify *v, const struct options *o)
{
	const char *tenant = o->tenant == NULL ? "default" : o->tenant;
	const char *message;
	struct stat st;
	ag_err err;

	if (o->dir != NULL && (stat(o->dir, &st) != 0 || !S_ISDIR(st.st_mode)))
		return input_error(o->dir, "it is not a directory");
	if (access(o->public_key, R_OK) != 0)
		return input_error(o->public_key, strerror(errno));
	if (!verify_keys_read(v, o->public_key))
		return input_error(o->public_key, "there is no Ed25519 public key in it");
	v->tenant = o->tenant;
	if (o->tenant != NULL && strlen(o->tenant) > AG_SEG_TENANT_MAX)
		return input_error(o->tenant, "it is not a tenant's name");
	if (o->proof != NULL)
		return run_proof(v, o->proof, tenant, proof_check);
	if (o->checkpoint != NULL && !kept_read(v, o->checkpoint, tenant,
	        &message))
		return input_error(o->checkpoint, message);
	if (o->consistency != NULL)
		return run_proof(v, o->consistency, tenant, consistency_check);
	if (ag_segs_open(o->dir, &v->segs) != AG_OK)
		return input_error(o->dir, "it cannot be read");
	err = verify_walk(v);
	if (err == AG_CORRUPT) {
		printf("audit: broken at seq %llu: %s\n",
		    (unsigned long long)v->bad_seq, v->what);
		return EXIT_BROKEN;
	}
	if (err != AG_OK)
		return input_error(o->dir, "it cannot be read");
	if (o->write_checkpoint != NULL &&
	    !kept_write(v, o->write_checkpoint, &message))
		return input_error(o->write_checkpoint, message);
	return print_sound(v);
}

int
ag_cmd_audit_verify(int argc, char **argv)
{
	struct options o = { .dir = NULL };
	struct verify v = { .segs = NULL };
	int status;

	if (!parse(argc, argv, &o)) {
		fputs(usage, stderr);
		return EXIT_INPUT;
	}
	status = run(&v, &o);
	fflush(stdout);
	ag_segs_close(&v.segs);
	for (size_t i = 0; i < v.chain_count; i++) {
		free(v.chains[i]->leaves);
		free(v.chains[i]);
	}
	free(v.chains);
	verify_keys_free(&v);
	return status;
}
