/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: who signs the log. Every key has a KEY record, and the next one is
 * signed for by the one before, so that whoever has an old public key can
 * follow; public-key.pem has them all. And the key of what is redacted.
 */
#include "audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_LINE = 64, PEM_MAX = 1024, KEYS_FILE_MAX = 64 << 10 };

/* --------------------------------------------------------------- in the log */

const struct key *
keys_find(const struct audit *a, const char *key_id)
{
	for (unsigned i = 0; i < a->key_count; i++)
		if (strcmp(a->keys[i].id, key_id) == 0)
			return &a->keys[i];
	return NULL;
}

bool
keys_load(struct audit *a, const Ag__LogKey *from)
{
	struct key *key = &a->keys[a->key_count];
	size_t by = from->endorsed_by == NULL ? 0 : strlen(from->endorsed_by);

	if (strlen(from->key_id) > KEY_ID_MAX || by > KEY_ID_MAX ||
	    from->public_key_der.len > KEY_DER_MAX ||
	    from->endorsement.len > SIGNATURE_MAX)
		return false;
	if (keys_find(a, from->key_id) != NULL)
		return true;
	if (a->key_count == KEYS_MAX)
		return false;
	memset(key, 0, sizeof(*key));
	strcpy(key->id, from->key_id);
	key->der_len = from->public_key_der.len;
	memcpy(key->der, from->public_key_der.data, key->der_len);
	if (by > 0 && from->has_endorsement) {
		strcpy(key->endorsed_by, from->endorsed_by);
		key->endorsement_len = from->endorsement.len;
		memcpy(key->endorsement, from->endorsement.data,
		    key->endorsement_len);
	}
	key->from_at = from->from_at;
	key->pos = from->pos;
	a->key_count++;
	return true;
}

void
keys_row(const struct key *key, Ag__LogKey *out)
{
	ag__log_key__init(out);
	out->key_id = (char *)key->id;
	out->public_key_der.data = (uint8_t *)key->der;
	out->public_key_der.len = key->der_len;
	out->from_at = key->from_at;
	out->pos = key->pos;
	if (key->endorsement_len == 0)
		return;
	out->endorsed_by = (char *)key->endorsed_by;
	out->has_endorsement = true;
	out->endorsement.data = (uint8_t *)key->endorsement;
	out->endorsement.len = key->endorsement_len;
}

/* Appends the KEY record of one that is new. */
static ag_err
record(struct audit *a, struct ag_ctx *ctx, const Ag__RotKey *said)
{
	Ag__LogKey row = AG__LOG_KEY__INIT;
	ag_err err;

	row.key_id = said->key_id;
	row.public_key_der = said->public_key_der;
	row.from_at = said->from_at;
	row.pos = a->key_count == 0 ? 1 : ag_seglog_next_pos(a->log);
	row.endorsed_by = said->endorsed_by;
	row.has_endorsement = said->has_endorsement;
	row.endorsement = said->endorsement;
	if (!keys_load(a, &row))
		return AG_FULL;
	err = chain_control(a, AG_SEG_KEY, "", ag_now_ms(ctx), &row);
	if (err != AG_OK)
		a->key_count--; /* the next time */
	else if (a->key_count > 1)
		ag_log(ctx, AG_INFO, "AUDIT-KEY", "key=%s endorsed_by=%s",
		    row.key_id, row.endorsed_by == NULL ? "-" : row.endorsed_by);
	return err;
}

/* --------------------------------------------------------------- in a file */

/* RFC 7468. der: SubjectPublicKeyInfo. */
static size_t
pem(char *out, size_t size, const uint8_t *der, size_t len)
{
	char b64[PEM_MAX];
	size_t at, n, text_len;

	if (ag_base64_size(len) > sizeof(b64))
		return 0;
	ag_base64(der, len, b64);
	text_len = strlen(b64);
	at = (size_t)snprintf(out, size, "-----BEGIN PUBLIC KEY-----\n");
	for (size_t i = 0; i < text_len; i += n) {
		n = text_len - i < PEM_LINE ? text_len - i : PEM_LINE;
		at += (size_t)snprintf(out + at, size - at, "%.*s\n", (int)n, b64 + i);
	}
	at += (size_t)snprintf(out + at, size - at, "-----END PUBLIC KEY-----\n");
	return at;
}

/* Text between the blocks is allowed (RFC 7468 §2) and says which is which. */
static void
write_file(struct audit *a, struct ag_ctx *ctx)
{
	char *text = malloc(KEYS_FILE_MAX);
	size_t at = 0, room = KEYS_FILE_MAX;

	if (text == NULL)
		return;
	for (unsigned i = 0; i < a->key_count && room - at > 2 * PEM_MAX; i++) {
		const struct key *key = &a->keys[i];

		at += (size_t)snprintf(text + at, room - at,
		    "key_id: %s\nfrom_seq: %llu\n", key->id,
		    (unsigned long long)key->pos);
		at += pem(text + at, room - at, key->der, key->der_len);
	}
	a->keys_written = ag_file_put(ctx, "audit/public-key.pem", text, at,
	    0644) == AG_OK;
	if (!a->keys_written)
		ag_log(ctx, AG_ERROR, "AUDIT-KEY-FILE", "file=audit/public-key.pem");
	free(text);
}

/* ------------------------------------------------------------------- asking */

/* Ready means that verify finds its keys, that what is redacted can be joined,
 * and that there is room. */
static void
set_ready(const struct audit *a, struct ag_ctx *ctx)
{
	if (a->keys_written && a->redact.key != NULL && !a->full)
		ag_set_ready(ctx, true, NULL);
}

static ag_err
on_redaction_key(void *state, struct ag_ctx *ctx, ag_err status,
    const void *msg, void *memo)
{
	struct audit *a = state;

	(void)memo;
	a->redact.asking = false;
	if (status != AG_OK)
		return AG_OK; /* the next tick asks again */
	if ((status = redact_take_key(&a->redact, ctx, msg)) != AG_OK)
		return status;
	set_ready(a, ctx);
	return AG_OK;
}

static ag_err
on_keys(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	struct audit *a = state;
	const Ag__RotKeysReply *reply = msg;
	ag_err err = AG_OK;

	(void)memo;
	a->keys_asking = false;
	if (status != AG_OK || reply->n_keys == 0)
		return AG_OK; /* the next tick asks again */
	a->keys_asked_ms = ag_mono_ms(ctx);
	a->keys_stale = false;
	for (size_t i = 0; err == AG_OK && i < reply->n_keys; i++) {
		if (keys_find(a, reply->keys[i]->key_id) != NULL)
			continue;
		err = record(a, ctx, reply->keys[i]);
		a->keys_written = false;
	}
	if (err != AG_OK)
		ag_log(ctx, AG_ERROR, "AUDIT-KEY", "err=%s", ag_err_row(err)->name);
	if (!a->keys_written)
		write_file(a, ctx);
	set_ready(a, ctx);
	return AG_OK;
}

void
keys_ask(struct audit *a, struct ag_ctx *ctx)
{
	Ag__RotKeysAsk ask = AG__ROT_KEYS_ASK__INIT;

	redact_ask_key(&a->redact, ctx, sign_rot(ctx), on_redaction_key);
	if (a->keys_asking || !ag_slot_up(ctx, sign_rot(ctx)) ||
	    (a->keys_written && !a->keys_stale &&
	        ag_mono_ms(ctx) - a->keys_asked_ms < KEYS_ASK_MS))
		return;
	ask.purpose = (char *)"checkpoint";
	a->keys_asking = ag_ask(ctx, sign_rot(ctx), AG_MSG_ROT_KEYS_ASK, &ask,
	    AG_MSG_ROT_KEYS_REPLY, ROT_TIMEOUT_MS, on_keys, NULL, 0) ==
	    AG_PENDING;
	if (!a->keys_asking)
		ag_log(ctx, AG_WARN, "AUDIT-KEY-UNASKED", "purpose=checkpoint");
}
