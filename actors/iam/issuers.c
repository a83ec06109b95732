/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other issuers' tokens (auth.issuers): whose keys are in a JWKS file, or who
 * shares a secret with us, where that is allowed. A token's subject is the
 * principal with that external identity; nobody else, and nobody twice. With
 * default_roles, a subject that is new is introduced as a person with these.
 * The files are read again when they change; a bad one changes nothing.
 */
#include "call.h"
#include "issuers.h"
#include "jwk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TICK_MS = 100, REFRESH_TICKS = 10,
	NEW_WAIT_MS = 1500, NEW_AGAIN_MS = 1000, NEW_NAME_HEX = 16,
};

/* A subject that nobody here is yet; issuer NULL: a free place. */
struct iam_newcomer {
	const struct iam_issuer *issuer;
	char subject[IAM_SUBJECT_MAX + 1];
	char key[IAM_EXTERNAL_KEY]; /* whoever waits for it is parked on this */
	bool under_way;
};

struct iam_issuer {
	char name[IAM_ISSUER_MAX + 1];
	unsigned algs;
	struct iam_jwks keys;
	struct ag_secret *secret; /* HS256, or NULL */
	const char *file;         /* the configuration's; NULL: none */
	struct stat seen;         /* of the file as it was read last */
	const char *tenant;
	const char *roles[IAM_ROLES_MAX];
	unsigned role_count;
};

/* ------------------------------------------------------------------ files */

char *
iam_file_read(const char *path, size_t max, size_t *len, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = NULL;
	ssize_t n;

	if (fd < 0)
		return NULL;
	*len = 0;
	if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode) ||
	    (size_t)st->st_size > max) {
		errno = errno == 0 ? EFBIG : errno;
	} else if ((text = malloc(max + 1)) != NULL) {
		while (*len < max && (n = read(fd, text + *len, max - *len)) > 0)
			*len += (size_t)n;
		text[*len] = '\0';
	}
	close(fd);
	return text;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
	    a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static ag_err
load_keys(struct ag_ctx *ctx, struct iam_issuer *issuer)
{
	struct iam_jwks fresh;
	const char *why = "unreadable";
	struct stat st = { 0 };
	ag_err err = AG_IO;
	size_t len = 0;
	char *text;

	errno = 0;
	text = iam_file_read(issuer->file, IAM_JWKS_BYTES_MAX, &len, &st);
	if (text != NULL)
		err = iam_jwks_parse(text, len, &fresh, &why);
	free(text);
	issuer->seen = st;
	if (err != AG_OK) {
		ag_log(ctx, AG_ERROR, "ISSUER-KEYS-BAD", "issuer=%s file=%s why=%s",
		    issuer->name, issuer->file, why);
		return err;
	}
	iam_jwks_free(&issuer->keys);
	issuer->keys = fresh;
	ag_log(ctx, AG_INFO, "ISSUER-KEYS", "issuer=%s keys=%u", issuer->name,
	    issuer->keys.count);
	return AG_OK;
}

static ag_err
load_secret(struct ag_ctx *ctx, struct iam_issuer *issuer, const char *path)
{
	struct stat st;
	const char *why = NULL;
	size_t len = 0;
	char *text;
	ag_err err;

	errno = 0;
	if ((text = iam_file_read(path, IAM_SECRET_MAX, &len, &st)) == NULL)
		why = "unreadable";
	else if ((st.st_mode & 077) != 0)
		why = "others may read it; 0600 is wanted";
	while (text != NULL && len > 0 && (text[len - 1] == '\n' ||
	    text[len - 1] == '\r'))
		len--;
	if (why == NULL && len < IAM_SECRET_MIN)
		why = "shorter than 32 bytes";
	err = why != NULL ? AG_USAGE : ag_secret_copy(text, len, &issuer->secret);
	if (text != NULL)
		ag_wipe(text, IAM_SECRET_MAX);
	free(text);
	if (why != NULL)
		ag_log(ctx, AG_ERROR, "ISSUER-SECRET-BAD",
		    "issuer=%s file=%s why=%s", issuer->name, path, why);
	return err;
}

/* ---------------------------------------------------------- configuration */

/* Which of them there are is known only when the journal is. */
static ag_err
read_roles(struct ag_ctx *ctx, struct iam_issuer *issuer, unsigned row)
{
	const char *word;

	for (unsigned i = 0; (word = ag_config_get_item(ag_config(ctx),
	    "auth.issuers[].default_roles", row, i)) != NULL; i++) {
		if (issuer->role_count == IAM_ROLES_MAX) {
			ag_log(ctx, AG_ERROR, "ISSUER-ROLE-BAD",
			    "issuer=%s role=%s", issuer->name, word);
			return AG_USAGE;
		}
		issuer->roles[issuer->role_count++] = word;
	}
	return AG_OK;
}

static ag_err
read_issuer(struct ag_ctx *ctx, struct iam_issuer *issuer, unsigned row)
{
	const char *name = ag_config_str(ctx, "auth.issuers[].issuer", row);
	const char *file = ag_config_str(ctx, "auth.issuers[].jwks_file", row);
	const char *secret = ag_config_str(ctx,
	    "auth.issuers[].hs256_secret_file", row);
	const char *word;
	ag_err err;

	if (strlen(name) > IAM_ISSUER_MAX || strcmp(name, IAM_ISSUER) == 0) {
		ag_log(ctx, AG_ERROR, "ISSUER-NAME-BAD", "issuer=%.64s", name);
		return AG_USAGE;
	}
	strcpy(issuer->name, name);
	issuer->tenant = ag_config_str(ctx, "auth.issuers[].tenant", row);
	for (unsigned i = 0; (word = ag_config_get_item(ag_config(ctx),
	    "auth.issuers[].algorithms", row, i)) != NULL; i++)
		issuer->algs |= iam_alg_named(word);
	if ((err = read_roles(ctx, issuer, row)) != AG_OK)
		return err;
	issuer->file = file;
	if (file != NULL && (err = load_keys(ctx, issuer)) != AG_OK)
		return AG_USAGE;
	/* The configuration's check refused prod; this is the last door. */
	if (secret != NULL && !ag_is_dev(ctx))
		return AG_USAGE;
	return secret == NULL ? AG_OK : load_secret(ctx, issuer, secret);
}

static ag_on_timer on_tick;

ag_err
iam_issuers_init(struct iam *iam, struct ag_ctx *ctx)
{
	unsigned n = ag_config_count(ctx, "auth.issuers");
	ag_err err = AG_OK;

	if (n == 0)
		return AG_OK; /* nor a timer */
	if (n > IAM_FOREIGN_MAX)
		return AG_USAGE;
	if ((iam->issuers = calloc(n, sizeof(*iam->issuers))) == NULL)
		return AG_NO_MEMORY;
	for (unsigned i = 0; err == AG_OK && i < n; i++) {
		iam->issuer_count = i + 1;
		err = read_issuer(ctx, &iam->issuers[i], i);
	}
	if (err == AG_OK && (iam->newcomers = calloc(IAM_NEWCOMERS_MAX,
	    sizeof(*iam->newcomers))) == NULL)
		err = AG_NO_MEMORY;
	return err != AG_OK ? err : ag_every(ctx, TICK_MS, on_tick);
}

void
iam_issuers_fini(struct iam *iam)
{
	for (unsigned i = 0; i < iam->issuer_count; i++) {
		iam_jwks_free(&iam->issuers[i].keys);
		ag_secret_free(&iam->issuers[i].secret);
	}
	free(iam->newcomers);
	iam->newcomers = NULL;
	free(iam->issuers);
	iam->issuers = NULL;
	iam->issuer_count = 0;
}

/* Who rotated keys sees them taken within a second. */
static void
refresh(struct iam *iam, struct ag_ctx *ctx)
{
	struct stat st;

	for (unsigned i = 0; i < iam->issuer_count; i++) {
		struct iam_issuer *issuer = &iam->issuers[i];

		if (issuer->file == NULL || stat(issuer->file, &st) != 0 ||
		    same_file(&st, &issuer->seen))
			continue;
		/* A key that went must not live on in the cache. */
		if (load_keys(ctx, issuer) == AG_OK)
			iam_cache_clear(&iam->cache);
	}
}

/* --------------------------------------------------- whom a subject means */

static bool
is_external(const void *item, const char *issuer, const char *subject)
{
	const struct iam_node *node = item;

	return strcmp(node->external->issuer, issuer) == 0 &&
	    strcmp(node->external->subject, subject) == 0;
}

struct iam_node *
iam_external_find(struct iam *iam, const char *issuer, const char *subject)
{
	return iam_table_get(&iam->externals, is_external, issuer, subject);
}

static void
external_drop(struct iam *iam, struct iam_node *node)
{
	if (node->external == NULL)
		return;
	iam_table_del(&iam->externals, node->external->issuer,
	    node->external->subject, node);
	iam_external_free(node);
}

void
iam_external_free(struct iam_node *node)
{
	if (node->external == NULL)
		return;
	free(node->external->issuer);
	free(node->external->subject);
	free(node->external);
	node->external = NULL;
}

ag_err
iam_external_take(struct iam *iam, struct iam_node *node,
    const Ag__External *external)
{
	struct iam_external *kept;
	ag_err err;

	external_drop(iam, node);
	/* Who is deleted leaves the identity to another; and the first to have
	 * it keeps it, whatever a journal says. */
	if (external == NULL || node->state == IAM_GONE ||
	    iam_external_find(iam, external->issuer, external->subject) != NULL)
		return AG_OK;
	if ((kept = calloc(1, sizeof(*kept))) == NULL)
		return AG_NO_MEMORY;
	node->external = kept;
	kept->issuer = strdup(external->issuer);
	kept->subject = strdup(external->subject);
	err = kept->issuer == NULL || kept->subject == NULL ? AG_NO_MEMORY :
	    iam_table_add(&iam->externals, kept->issuer, kept->subject, node);
	if (err != AG_OK)
		iam_external_free(node);
	return err;
}

/* A stream's or a stash's name for one identity; its text may be long. */
static void
external_key(const char *issuer, const char *subject, char out[IAM_EXTERNAL_KEY])
{
	uint8_t both[64], hash[32];

	ag_sha256(issuer, strlen(issuer), both);
	ag_sha256(subject, strlen(subject), both + 32);
	ag_sha256(both, sizeof(both), hash);
	ag_hex(hash, sizeof(hash), out);
}

ag_err
iam_external_claim(struct iam *iam, struct ag_ctx *ctx,
    const struct iam_node *node, const Ag__External *external)
{
	char stream[IAM_EXTERNAL_KEY + 16] = "external:";
	const struct iam_node *other;
	ag_err err;

	if (external == NULL)
		return AG_OK;
	external_key(external->issuer, external->subject,
	    stream + strlen(stream));
	if ((err = ag_enter(ctx, stream, true)) != AG_OK)
		return err;
	other = iam_external_find(iam, external->issuer, external->subject);
	return other == NULL || other == node ? AG_OK : ag_refuse(ctx,
	    AG_ALREADY_EXISTS, "name", "/external",
	    "Another principal has this external identity.");
}

/* ------------------------------------------------------------- introducing */

static ag_err
introduced(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct iam *iam = state;
	const char *key = memo;

	for (unsigned i = 0; i < IAM_NEWCOMERS_MAX; i++)
		if (iam->newcomers[i].issuer != NULL &&
		    strcmp(iam->newcomers[i].key, key) == 0)
			iam->newcomers[i].issuer = NULL;
	if (status != AG_OK) {
		ag_log(ctx, AG_WARN, "INTRODUCE-FAILED", "external=%s err=%s",
		    key, ag_err_row(status)->name);
		strcpy(iam->refused_new, key);
		iam->refused_new_ms = ag_mono_ms(ctx);
	}
	/* They look again; whoever is still unknown then is refused. */
	ag_stash_release(ctx, key);
	return AG_OK;
}

static void
say_new(Ag__OutcomeEvent *out, const Ag__Principal *p, char event_id[AG_ID_SIZE])
{
	ag__outcome_event__init(out);
	/* A principal is introduced once: its own number names the event. */
	snprintf(event_id, AG_ID_SIZE, "evt_%s", p->id + 4);
	out->event_type = AG__EVENT_TYPE__V__lifecycle;
	out->outcome = AG__OUTCOME_KIND__V__allowed;
	out->operation = (char *)"principal.introduce";
	out->tenant = p->tenant;
	out->resource_type = (char *)"principal";
	out->resource_id = p->id;
	out->resource_alias = p->name;
	out->actor_id = p->id;
	out->event_id = event_id;
}

static ag_err
persist_new(struct iam *iam, struct ag_ctx *ctx, struct iam_newcomer *new)
{
	Ag__Principal p = AG__PRINCIPAL__INIT;
	Ag__External external = AG__EXTERNAL__INIT;
	Ag__PrincipalFact fact = AG__PRINCIPAL_FACT__INIT;
	Ag__NameTakenFact taken = AG__NAME_TAKEN_FACT__INIT;
	Ag__RoleGrant grants[IAM_ROLES_MAX], *roles[IAM_ROLES_MAX];
	Ag__OutcomeEvent out;
	char id[AG_ID_SIZE], event_id[AG_ID_SIZE], name[32], stream[64];
	char name_stream[2 * AG_NAME_MAX + 8];
	struct iam_tenant *tenant = iam_tenant_find(iam, new->issuer->tenant);
	struct ag_fact facts[2];

	if (tenant == NULL)
		return AG_ITEM_NOT_FOUND;
	if (!iam_quota_room(iam, tenant, IAM_C_PRINCIPALS))
		return AG_FULL;
	ag_id_new(ctx, "hum", id);
	snprintf(name, sizeof(name), "ext-%.*s", NEW_NAME_HEX, new->key);
	external.issuer = (char *)(uintptr_t)new->issuer->name;
	external.subject = new->subject;
	for (unsigned i = 0; i < new->issuer->role_count; i++) {
		const struct iam_role *role = iam_role_find(iam, tenant,
		    new->issuer->roles[i]);

		/* Not with fewer rights than were meant, silently. */
		if (role == NULL || role->gone)
			return AG_ITEM_NOT_FOUND;
		roles[i] = &grants[i];
		ag__role_grant__init(roles[i]);
		roles[i]->name = (char *)(uintptr_t)new->issuer->roles[i];
	}
	p.id = taken.id = id;
	p.kind = AG__KIND__V__human;
	p.name = taken.name = name;
	p.tenant = taken.tenant = (char *)(uintptr_t)new->issuer->tenant;
	p.state = (char *)"active";
	p.totp = (char *)"none";
	p.roles = roles;
	p.n_roles = new->issuer->role_count;
	p.external = &external;
	p.created_at = p.updated_at = ag_now_ms(ctx);
	p.revision = 1;
	fact.principal = &p;
	say_new(&out, &p, event_id);
	snprintf(stream, sizeof(stream), "principal:%s", id);
	snprintf(name_stream, sizeof(name_stream), "name:%s/%s", p.tenant, name);
	facts[0] = (struct ag_fact){ name_stream, 0, AG_MSG_NAME_TAKEN_FACT,
		&taken };
	facts[1] = (struct ag_fact){ stream, 0, AG_MSG_PRINCIPAL_FACT, &fact };
	return ag_persist_recorded(ctx, facts, 2, &out, introduced, new->key,
	    sizeof(new->key));
}

/* By the clock, without a trip: the request that waits is not what is
 * recorded. */
static void
introduce_all(struct iam *iam, struct ag_ctx *ctx)
{
	for (unsigned i = 0; i < IAM_NEWCOMERS_MAX; i++) {
		struct iam_newcomer *new = &iam->newcomers[i];
		ag_err err;

		if (new->issuer == NULL || new->under_way)
			continue;
		new->under_way = true;
		err = iam_external_find(iam, new->issuer->name, new->subject) !=
		    NULL ? AG_OK : persist_new(iam, ctx, new);
		if (err != AG_PENDING)
			(void)introduced(iam, ctx, err, NULL, new->key);
	}
}

static struct iam_newcomer *
newcomer(struct iam *iam, const char *key)
{
	struct iam_newcomer *free_one = NULL;

	for (unsigned i = 0; i < IAM_NEWCOMERS_MAX; i++) {
		struct iam_newcomer *new = &iam->newcomers[i];

		if (new->issuer == NULL)
			free_one = new;
		else if (strcmp(new->key, key) == 0)
			return new;
	}
	return free_one;
}

static void
on_tick(void *state, struct ag_ctx *ctx)
{
	struct iam *iam = state;

	if (++iam->issuer_ticks % REFRESH_TICKS == 0)
		refresh(iam, ctx);
	if (iam->ready)
		introduce_all(iam, ctx);
}

/* ---------------------------------------------------------------- a token */

static ag_err
unknown(struct call *c, const struct iam_issuer *issuer, const char *subject)
{
	struct iam_newcomer *new;
	char key[IAM_EXTERNAL_KEY];

	if (issuer->role_count == 0)
		return iam_unauthenticated(c, "token_claims",
		    "Nobody here has this external identity.");
	external_key(issuer->name, subject, key);
	new = newcomer(c->iam, key);
	/* They who waited in vain are not to wait again. */
	if (new == NULL || (strcmp(key, c->iam->refused_new) == 0 &&
	    c->mono - c->iam->refused_new_ms < NEW_AGAIN_MS))
		return ag_refuse(c->ctx, AG_UNAVAILABLE, "overloaded", NULL,
		    "The principal could not be introduced.");
	if (new->issuer == NULL) {
		memset(new, 0, sizeof(*new));
		new->issuer = issuer;
		strcpy(new->subject, subject);
		strcpy(new->key, key);
	}
	return ag_stash_on(c->ctx, key, NEW_WAIT_MS, "overloaded");
}

static bool
is_by(const struct iam_issuer *issuer, const struct iam_jwt *jwt,
    enum iam_alg alg, bool *known)
{
	const struct iam_jwk *key;

	if ((issuer->algs & alg) == 0)
		return false;
	if (alg == IAM_HS256) {
		*known = true;
		return issuer->secret != NULL &&
		    iam_hs256_verify(issuer->secret, jwt);
	}
	key = iam_jwks_find(&issuer->keys, jwt->kid);
	/* The key's own algorithm counts, and the issuer must have it listed. */
	if (key == NULL || key->alg != alg)
		return false;
	*known = true;
	return iam_jwk_verify(key, jwt);
}

/* The signature, then whose it is: two issuers may use the same kid. */
static const char *
judge(struct iam *iam, const struct iam_jwt *jwt, int64_t now,
    struct iam_claims *claims, const struct iam_issuer **by)
{
	enum iam_alg alg = iam_alg_named(jwt->alg);
	const char *why = NULL;
	bool known = false, listed = false;

	for (unsigned i = 0; i < iam->issuer_count; i++) {
		const struct iam_issuer *issuer = &iam->issuers[i];

		listed = listed || (issuer->algs & alg) != 0;
		if (!is_by(issuer, jwt, alg, &known))
			continue;
		*by = issuer;
		why = iam_jwt_claims(jwt, issuer->name, iam->audience, now,
		    claims);
		if (why == NULL || strcmp(why, "token_issuer") != 0)
			return why;
	}
	return why != NULL ? why : known || listed ? "token_signature" :
	    "token_algorithm";
}

static struct iam_token *
token_new(const struct iam_issuer *issuer, struct iam_node *node,
    const struct iam_claims *claims)
{
	struct iam_token *token = calloc(1, sizeof(*token));

	if (token == NULL)
		return NULL;
	token->foreign = calloc(1, sizeof(*token->foreign));
	if (token->foreign == NULL) {
		free(token);
		return NULL;
	}
	token->node = node;
	token->issued_at = claims->iat_ms;
	token->expires_at = claims->exp_ms;
	token->foreign->issuer = issuer->name;
	strcpy(token->foreign->jti, claims->jti);
	return token;
}

ag_err
iam_foreign(struct call *c, const struct iam_jwt *jwt, const uint8_t hash[32])
{
	const struct iam_issuer *issuer = NULL;
	struct iam_claims claims;
	struct iam_node *node;
	const char *why = judge(c->iam, jwt, c->now, &claims, &issuer);

	if (why != NULL)
		return iam_unauthenticated(c, why, NULL);
	node = iam_external_find(c->iam, issuer->name, claims.sub);
	if (node == NULL)
		return unknown(c, issuer, claims.sub);
	/* An issuer speaks for one tenant. */
	if (strcmp(node->tenant->name, issuer->tenant) != 0)
		return iam_unauthenticated(c, "token_claims",
		    "Nobody here has this external identity.");
	if ((c->token = token_new(issuer, node, &claims)) == NULL)
		return AG_NO_MEMORY;
	iam_cache_put(&c->iam->cache, hash, c->token, claims.exp_ms);
	return AG_OK;
}
