/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page: cursors. base64url(nonce ‖ XChaCha20-Poly1305(until ‖ place)); what it
 * is bound to is the additional data. The key follows from the one that grants
 * are vouched for with, so every executor of the fleet has it, and a cursor
 * outlives the process that made it, but not the fleet.
 */
#include "ctx.h"

#include <aegis/bytes.h>
#include <aegis/page.h>

#include <sodium.h>
#include <string.h>

enum {
	NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
	UNTIL = 8,
	CURSOR_BYTES_MAX = NONCE + UNTIL + AG_PLACE_MAX + TAG,
	FIELD_LIMIT = 100,
	FIELD_CURSOR = 101,
};
_Static_assert(AG_CURSOR_KEY_BYTES ==
    crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key of a cursor");

ag_err
ag_page_key(struct ag_ctx *ctx)
{
	static const char label[] = "aegis cursor 1";

	return ag_mac_sign(ctx->mac, label, sizeof(label), ctx->cursor_key);
}

/* ------------------------------------------------------------ the question */

static const void *
at(const void *msg, unsigned offset)
{
	return (const uint8_t *)msg + offset;
}

/* The two members that differ from page to page. */
static void
take(const ProtobufCMessage *ask, uint8_t *rest, uint32_t *limit,
    const char **cursor)
{
	const ProtobufCFieldDescriptor *f;

	f = protobuf_c_message_descriptor_get_field(ask->descriptor, FIELD_LIMIT);
	if (f != NULL && *(const protobuf_c_boolean *)at(ask,
	    f->quantifier_offset)) {
		*limit = *(const uint32_t *)at(ask, f->offset);
		*(protobuf_c_boolean *)(rest + f->quantifier_offset) = 0;
	}
	f = protobuf_c_message_descriptor_get_field(ask->descriptor,
	    FIELD_CURSOR);
	if (f != NULL) {
		*cursor = *(char *const *)at(ask, f->offset);
		*(char **)(rest + f->offset) = NULL;
	}
}

/* Operation, tenant, what the path names, and the rest of the ask. */
static ag_err
question(struct ag_ctx *ctx, const ProtobufCMessage *rest, uint8_t out[32])
{
	const Ag__Grant *grant = ag_grant(ctx);
	const char *parts[] = { grant->tenant,
		grant->resource_id == NULL ? "" : grant->resource_id };
	crypto_hash_sha256_state sha;
	uint8_t type[4], *bytes;
	size_t len;

	if ((bytes = ag_pack(ctx, rest, &len)) == NULL)
		return AG_NO_MEMORY;
	ag_put_be32(type, ag_type(ctx));
	crypto_hash_sha256_init(&sha);
	crypto_hash_sha256_update(&sha, type, sizeof(type));
	for (unsigned i = 0; i < 2; i++)
		crypto_hash_sha256_update(&sha, (const uint8_t *)parts[i],
		    strlen(parts[i]) + 1);
	crypto_hash_sha256_update(&sha, bytes, len);
	crypto_hash_sha256_final(&sha, out);
	return AG_OK;
}

/* -------------------------------------------------------------- the cursor */

char *
ag_page_cursor(struct ag_ctx *ctx, const struct ag_page *page,
    const void *place, size_t place_len)
{
	uint8_t plain[UNTIL + AG_PLACE_MAX], sealed[CURSOR_BYTES_MAX];
	unsigned long long len;
	char *text;

	if (place_len == 0 || place_len > AG_PLACE_MAX)
		ag_panic("a place of %zu bytes", place_len);
	ag_put_be64(plain, (uint64_t)(ag_now_ms(ctx) + AG_CURSOR_MS));
	memcpy(plain + UNTIL, place, place_len);
	ag_random(sealed, NONCE);
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE, &len,
	    plain, UNTIL + place_len, page->question, sizeof(page->question),
	    NULL, sealed, ctx->cursor_key);
	text = ag_alloc(ctx, ag_base64_size(NONCE + len));
	if (text != NULL)
		ag_base64url(sealed, NONCE + len, text);
	return text;
}

static bool
open_cursor(struct ag_ctx *ctx, const char *cursor, struct ag_page *page)
{
	uint8_t sealed[CURSOR_BYTES_MAX], plain[UNTIL + AG_PLACE_MAX];
	unsigned long long plain_len;
	size_t len;

	if (!ag_base64url_parse(cursor, strlen(cursor), sealed, sizeof(sealed),
	    &len) || len <= NONCE + UNTIL + TAG ||
	    crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &plain_len, NULL,
	    sealed + NONCE, len - NONCE, page->question, sizeof(page->question),
	    sealed, ctx->cursor_key) != 0 ||
	    (int64_t)ag_get_be64(plain) <= ag_now_ms(ctx))
		return false;
	page->place_len = plain_len - UNTIL;
	memcpy(page->place, plain + UNTIL, page->place_len);
	page->place[page->place_len] = '\0';
	return true;
}

ag_err
ag_page_read(struct ag_ctx *ctx, const void *msg, struct ag_page *page)
{
	const ProtobufCMessage *ask = msg;
	size_t size = ask->descriptor->sizeof_message;
	uint8_t *rest = ag_alloc(ctx, size);
	const char *cursor = NULL;
	ag_err err;

	memset(page, 0, sizeof(*page));
	page->limit = AG_PAGE_DEFAULT;
	if (rest == NULL)
		return AG_NO_MEMORY;
	memcpy(rest, ask, size);
	take(ask, rest, &page->limit, &cursor);
	if (page->limit < 1 || page->limit > AG_PAGE_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "?limit",
		    "1 to %d.", AG_PAGE_MAX);
	if ((err = question(ctx, (const ProtobufCMessage *)rest,
	    page->question)) != AG_OK)
		return err;
	if (cursor != NULL && !open_cursor(ctx, cursor, page))
		return ag_refuse(ctx, AG_INVALID_FIELD, "bad_cursor", "?cursor",
		    "The cursor is not of this list and question, or older "
		    "than an hour.");
	return AG_OK;
}
