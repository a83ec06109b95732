/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids, times and encodings that appear in public answers.
 */
#ifndef AEGIS_ID_H
#define AEGIS_ID_H

#include <aegis/err.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ag_ctx;

enum {
	AG_UUID_BYTES = 16,
	AG_UUID_TEXT = 37, /* 8-4-4-4-12 and NUL */
	AG_ID_SIZE = 40,   /* "key_" + 32 hex + NUL fits */
	AG_TIME_TEXT = 25, /* 2026-11-20T21:33:14.123Z and NUL */
	AG_NAME_MAX = 63,
};

/* A UUIDv7 (RFC 9562 §5.7) of this wall time; monotonic within the process.
 * Random bits from OpenSSL; failing to get them is a panic. */
void ag_uuid7(int64_t now_ms, uint8_t out[AG_UUID_BYTES]);
void ag_uuid_text(const uint8_t uuid[AG_UUID_BYTES], char out[AG_UUID_TEXT]);
/* prefix ("key", "agt" …) + "_" + UUIDv7 in hex. */
void ag_id_make(const char *prefix, int64_t now_ms, char out[AG_ID_SIZE]);
void ag_id_from_uuid(const char *prefix, const uint8_t uuid[AG_UUID_BYTES],
    char out[AG_ID_SIZE]);
/* prefix_ + 32 lower-case hex digits? prefix NULL: any of the contract's. */
bool ag_id_valid(const char *id, const char *prefix);
/* An alias or name: [a-z0-9][a-z0-9._-]{0,62}, no id prefix, not reserved. */
bool ag_name_valid(const char *name);
bool ag_label_valid(const char *key, const char *value);

/* RFC 3339 UTC with milliseconds, and back (fraction optional, Z or offset);
 * false if malformed. */
void ag_time_text(int64_t ms, char out[AG_TIME_TEXT]);
bool ag_time_parse(const char *text, int64_t *ms);
/* "90s" "15m" "1h" "30d" or bare seconds; false if malformed or overflowing. */
bool ag_duration_parse(const char *text, int64_t *seconds);

/* RFC 4648 §4 strict (padded, canonical, no white space); out_size at least
 * ag_base64_size(len). Decoding returns false on anything else. */
size_t ag_base64_size(size_t len); /* text bytes with NUL */
void ag_base64(const uint8_t *in, size_t len, char *out);
bool ag_base64_parse(const char *text, size_t text_len, uint8_t *out,
    size_t out_size, size_t *len);
/* RFC 4648 §5 without padding (JOSE). */
void ag_base64url(const uint8_t *in, size_t len, char *out);
bool ag_base64url_parse(const char *text, size_t text_len, uint8_t *out,
    size_t out_size, size_t *len);
void ag_hex(const uint8_t *in, size_t len, char *out);
bool ag_hex_parse(const char *text, uint8_t *out, size_t out_size);

/* RFC 3986 §2.1, in place; plus: as forms have it, + is a space. False, and the
 * text is half done: a digit is missing, or it would hold a NUL. */
bool ag_percent_decode(char *text, bool plus);

/* SHA-256 (FIPS 180-4) of one buffer. */
void ag_sha256(const void *data, size_t len, uint8_t out[32]);

/* The same, with the context's wall clock. */
void ag_id_new(struct ag_ctx *ctx, const char *prefix, char out[AG_ID_SIZE]);

#endif
