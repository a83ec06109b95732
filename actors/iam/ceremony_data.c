/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ceremony_data: the three things that a browser and an authenticator send, read
 * strictly: client data (JSON), attestation objects and authenticator data
 * (CBOR, of which only the form that CTAP2 calls canonical has a place here:
 * definite lengths, no tags, hardly nested). A length is believed when the
 * bytes are there: libcbor makes room for what a head claims.
 */
#include "ceremony.h"

#include <aegis/bytes.h>
#include <aegis/id.h>
#include <aegis/secret.h>

#include <jansson.h>
#include <string.h>

enum {
	DEPTH_MAX = 6, /* object, attStmt, x5c, certificate, and two to spare */
	HASH = 32, AUTH_HEAD = 37, /* hash, flags, counter (§6.1) */
	ATTESTED_HEAD = IAM_FIDO_AAGUID + 2,
};
enum major { UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

struct head {
	enum major major;
	uint64_t value;
	size_t len; /* bytes of the head itself */
};

static bool
head_read(const uint8_t *at, size_t left, struct head *out)
{
	unsigned info, more;

	if (left == 0)
		return false;
	out->major = at[0] >> 5;
	info = at[0] & 31;
	more = info < 24 ? 0 : 1U << (info - 24);
	if (info > 27 || left < 1 + (size_t)more)
		return false;
	out->value = more == 0 ? info : 0;
	for (unsigned i = 0; i < more; i++)
		out->value = out->value << 8 | at[1 + i];
	out->len = 1 + more;
	return true;
}

/* The bytes of one item; 0: it is none. */
static size_t
item_len(const uint8_t *at, size_t left, unsigned depth)
{
	struct head head;
	size_t len, n;
	uint64_t count;

	if (depth == 0 || !head_read(at, left, &head) || head.major == TAG)
		return 0;
	len = head.len;
	if (head.major == BYTES || head.major == TEXT)
		return head.value > left - len ? 0 : len + (size_t)head.value;
	if (head.major != ARRAY && head.major != MAP)
		return len;
	if (head.value > left - len) /* an item has a byte at least */
		return 0;
	count = head.major == MAP ? 2 * head.value : head.value;
	for (; count > 0; count--, len += n)
		if ((n = item_len(at + len, left - len, depth - 1)) == 0)
			return 0;
	return len;
}

/* Takes an item of this major type off the front. */
static bool
take(struct iam_bytes *from, enum major major, struct iam_bytes *whole)
{
	size_t len = item_len(from->data, from->len, DEPTH_MAX);

	if (len == 0 || from->data[0] >> 5 != major)
		return false;
	*whole = (struct iam_bytes){ from->data, len };
	from->data += len;
	from->len -= len;
	return true;
}

/* What stands in a byte or text string. */
static struct iam_bytes
content(struct iam_bytes whole)
{
	struct head head;

	if (!head_read(whole.data, whole.len, &head))
		return (struct iam_bytes){ NULL, 0 };
	return (struct iam_bytes){ whole.data + head.len, whole.len - head.len };
}

/* ------------------------------------------------------ authenticator data */

bool
iam_fido_auth_read(struct iam_bytes in, struct iam_fido_auth *out)
{
	struct iam_bytes rest, whole;

	memset(out, 0, sizeof(*out));
	if (in.len < AUTH_HEAD)
		return false;
	out->rp_hash = in.data;
	out->flags = in.data[HASH];
	out->count = ag_get_be32(in.data + HASH + 1);
	rest = (struct iam_bytes){ in.data + AUTH_HEAD, in.len - AUTH_HEAD };
	if ((out->flags & IAM_FIDO_AT) != 0) {
		if (rest.len < ATTESTED_HEAD)
			return false;
		out->aaguid = rest.data;
		out->id.data = rest.data + ATTESTED_HEAD;
		out->id.len = (size_t)rest.data[IAM_FIDO_AAGUID] << 8 |
		    rest.data[IAM_FIDO_AAGUID + 1];
		rest.data += ATTESTED_HEAD;
		rest.len -= ATTESTED_HEAD;
		if (out->id.len == 0 || out->id.len > IAM_FIDO_ID_MAX ||
		    out->id.len > rest.len)
			return false;
		rest.data += out->id.len;
		rest.len -= out->id.len;
		if (!take(&rest, MAP, &out->cose))
			return false;
	}
	if ((out->flags & IAM_FIDO_ED) != 0 && !take(&rest, MAP, &whole))
		return false;
	return rest.len == 0;
}

/* ------------------------------------------------------- attestation object */

static bool
is_word(struct iam_bytes text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* One member, which is there once. */
static bool
member(struct iam_bytes *rest, struct iam_fido_object *out)
{
	struct iam_bytes name, value;

	if (!take(rest, TEXT, &name))
		return false;
	name = content(name);
	if (is_word(name, "fmt") && out->format[0] == '\0') {
		if (!take(rest, TEXT, &value))
			return false;
		value = content(value);
		if (value.len == 0 || value.len >= sizeof(out->format) ||
		    memchr(value.data, '\0', value.len) != NULL)
			return false;
		memcpy(out->format, value.data, value.len);
		return true;
	}
	if (is_word(name, "attStmt") && out->statement.data == NULL)
		return take(rest, MAP, &out->statement);
	if (!is_word(name, "authData") || out->auth.data != NULL ||
	    !take(rest, BYTES, &value))
		return false;
	out->auth = content(value);
	return true;
}

bool
iam_fido_object_read(struct iam_bytes in, struct iam_fido_object *out)
{
	struct iam_bytes rest = in, whole;
	struct head head;

	memset(out, 0, sizeof(*out));
	if (in.len > IAM_FIDO_OBJECT_MAX || !take(&rest, MAP, &whole) ||
	    rest.len != 0 || !head_read(in.data, in.len, &head) ||
	    head.value != 3)
		return false;
	rest = (struct iam_bytes){ in.data + head.len, in.len - head.len };
	return member(&rest, out) && member(&rest, out) && member(&rest, out);
}

/* -------------------------------------------------------------- client data */

static const char *
text_of(const json_t *data, const char *name)
{
	const char *text = json_string_value(json_object_get(data, name));

	return text == NULL ? "" : text;
}

static bool
is_origin(const struct iam_fido_party *party, const json_t *data)
{
	const json_t *cross = json_object_get(data, "crossOrigin");

	/* Within a frame of somebody else's page it is not from there. */
	if ((cross != NULL && !json_is_false(cross)) ||
	    json_object_get(data, "topOrigin") != NULL)
		return false;
	for (unsigned i = 0; i < party->origin_count; i++)
		if (strcmp(text_of(data, "origin"), party->origins[i]) == 0)
			return true;
	return false;
}

static bool
is_challenge(const json_t *data, const uint8_t challenge[IAM_FIDO_CHALLENGE])
{
	const char *text = text_of(data, "challenge");
	uint8_t got[IAM_FIDO_CHALLENGE];
	size_t len;

	return ag_base64url_parse(text, strlen(text), got, sizeof(got), &len) &&
	    len == sizeof(got) && ag_secret_equal(got, challenge, sizeof(got));
}

enum iam_fido_end
iam_fido_client_check(const struct iam_fido_party *party, const char *type,
    const uint8_t challenge[IAM_FIDO_CHALLENGE], struct iam_bytes in)
{
	enum iam_fido_end end = IAM_FIDO_OK;
	json_t *data;

	if (in.len == 0 || in.len > IAM_FIDO_CLIENT_MAX)
		return IAM_FIDO_CLIENT_DATA;
	data = json_loadb((const char *)in.data, in.len,
	    JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(data))
		end = IAM_FIDO_CLIENT_DATA;
	else if (strcmp(text_of(data, "type"), type) != 0)
		end = IAM_FIDO_CEREMONY;
	else if (!is_challenge(data, challenge))
		end = IAM_FIDO_WRONG_CHALLENGE;
	else if (!is_origin(party, data))
		end = IAM_FIDO_ORIGIN;
	json_decref(data);
	return end;
}
