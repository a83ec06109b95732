/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWTs (RFC 7519) in compact JWS form (RFC 7515), signed with Ed25519 (RFC
 * 8037) by our own issuer key. Header and signature are judged before the
 * payload is parsed, so only what we once signed reaches the JSON parser
 * there. Nothing in a token grants anything: it says who it is about.
 */
#include "iam.h"

#include <jansson.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADER_MAX = 512,       /* bytes, decoded */
	SIGNATURE_BYTES = 64,   /* of our own issuer's */
	SCOPE_CLAIM_MAX = 1500, /* beyond it the claim, informative only, is left out */
};

/* ------------------------------------------------------------------- keys */

void
iam_keyring_fini(struct iam_keyring *ring)
{
	for (unsigned i = 0; i < ring->count; i++)
		EVP_PKEY_free(ring->keys[i].pkey);
	EVP_MD_CTX_free(ring->md);
	memset(ring, 0, sizeof(*ring));
}

ag_err
iam_keyring_add(struct iam_keyring *ring, const Ag__RotKey *key)
{
	struct iam_issuer_key *slot = &ring->keys[ring->count];
	const uint8_t *der = key->public_key_der.data;
	size_t len = sizeof(slot->raw);

	if (ring->count == IAM_ISSUER_KEYS_MAX)
		return AG_FULL;
	if (ring->md == NULL && (ring->md = EVP_MD_CTX_new()) == NULL)
		return AG_NO_MEMORY;
	if (strlen(key->key_id) >= sizeof(slot->kid))
		return AG_CORRUPT;
	slot->pkey = d2i_PUBKEY(NULL, &der, (long)key->public_key_der.len);
	if (slot->pkey == NULL || EVP_PKEY_id(slot->pkey) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(slot->pkey, slot->raw, &len) != 1) {
		EVP_PKEY_free(slot->pkey);
		return AG_CORRUPT;
	}
	strcpy(slot->kid, key->key_id);
	slot->from_at = key->from_at;
	slot->until_at = key->has_until_at ? key->until_at : INT64_MAX;
	ring->count++;
	return AG_OK;
}

const struct iam_issuer_key *
iam_keyring_current(const struct iam_keyring *ring, int64_t now_ms)
{
	const struct iam_issuer_key *best = NULL;

	for (unsigned i = 0; i < ring->count; i++) {
		const struct iam_issuer_key *k = &ring->keys[i];

		/* A key made in what the clock now calls the future still
		 * signs, if there is no other: clocks are set back. */
		if (k->until_at > now_ms && (best == NULL ||
		    best->from_at > now_ms || (k->from_at <= now_ms &&
		    k->from_at > best->from_at)))
			best = k;
	}
	return best;
}

static const struct iam_issuer_key *
key_named(const struct iam_keyring *ring, const char *kid, int64_t now_ms)
{
	for (unsigned i = 0; i < ring->count; i++)
		if (strcmp(ring->keys[i].kid, kid) == 0 &&
		    ring->keys[i].until_at > now_ms)
			return &ring->keys[i];
	return NULL;
}

bool
iam_keyring_has(const struct iam_keyring *ring, const struct iam_jwt *jwt)
{
	for (unsigned i = 0; i < ring->count; i++)
		if (strcmp(ring->keys[i].kid, jwt->kid) == 0)
			return true;
	return false;
}

int64_t
iam_keyring_until(const struct iam_keyring *ring, const struct iam_jwt *jwt)
{
	for (unsigned i = 0; i < ring->count; i++)
		if (strcmp(ring->keys[i].kid, jwt->kid) == 0)
			return ring->keys[i].until_at;
	return 0;
}

bool
iam_keyring_same(const struct iam_keyring *a, const struct iam_keyring *b)
{
	bool same = a->count == b->count;

	for (unsigned i = 0; same && i < a->count; i++)
		same = strcmp(a->keys[i].kid, b->keys[i].kid) == 0 &&
		    a->keys[i].from_at == b->keys[i].from_at &&
		    a->keys[i].until_at == b->keys[i].until_at;
	return same;
}

/* ------------------------------------------------------------------ parts */

static bool
split(const char *token, size_t len, struct iam_jwt *out)
{
	const char *first = memchr(token, '.', len), *second;

	if (len > IAM_TOKEN_BYTES_MAX || first == NULL)
		return false;
	second = memchr(first + 1, '.', len - (size_t)(first + 1 - token));
	if (second == NULL)
		return false;
	out->header = token;
	out->header_len = (size_t)(first - token);
	out->payload = first + 1;
	out->payload_len = (size_t)(second - first - 1);
	out->signature = second + 1;
	out->signature_len = len - (size_t)(second + 1 - token);
	return out->header_len > 0 && out->payload_len > 0 &&
	    memchr(out->signature, '.', out->signature_len) == NULL;
}

static json_t *
json_part(const char *text, size_t len, uint8_t *buffer, size_t size)
{
	json_t *json;
	size_t n;

	if (!ag_base64url_parse(text, len, buffer, size, &n))
		return NULL;
	json = json_loadb((const char *)buffer, n, JSON_REJECT_DUPLICATES, NULL);
	if (json != NULL && !json_is_object(json)) {
		json_decref(json);
		json = NULL;
	}
	return json;
}

const char *
iam_jwt_open(const char *token, size_t len, struct iam_jwt *out)
{
	uint8_t buffer[HEADER_MAX];
	json_t *h;
	const char *alg, *kid, *why = NULL;

	memset(out, 0, sizeof(*out));
	if (!split(token, len, out))
		return "token_malformed";
	h = json_part(out->header, out->header_len, buffer, sizeof(buffer));
	if (h == NULL)
		return "token_malformed";
	alg = json_string_value(json_object_get(h, "alg"));
	kid = json_string_value(json_object_get(h, "kid"));
	/* Extensions that must be understood (RFC 7515 §4.1.11): none are. */
	if (alg == NULL || json_object_get(h, "crit") != NULL ||
	    json_object_get(h, "b64") != NULL)
		why = "token_malformed";
	else {
		/* What does not fit is no name of ours; "" never is. */
		if (strlen(alg) < sizeof(out->alg))
			strcpy(out->alg, alg);
		if (kid != NULL && strlen(kid) < sizeof(out->kid))
			strcpy(out->kid, kid);
	}
	json_decref(h);
	return why;
}

const char *
iam_jwt_signature(const struct iam_jwt *jwt, uint8_t *out, size_t size,
    size_t *len)
{
	return ag_base64url_parse(jwt->signature, jwt->signature_len, out, size,
	    len) ? NULL : "token_malformed";
}

static const char *
check_signature(struct iam_keyring *ring, const struct iam_jwt *p,
    const struct iam_issuer_key *key)
{
	uint8_t signature[SIGNATURE_BYTES + 3];
	const char *why;
	size_t n;
	bool good;

	if ((why = iam_jwt_signature(p, signature, sizeof(signature), &n)) != NULL)
		return why;
	if (n != SIGNATURE_BYTES)
		return "token_signature";
	EVP_MD_CTX_reset(ring->md);
	good = EVP_DigestVerifyInit(ring->md, NULL, NULL, NULL, key->pkey) == 1 &&
	    EVP_DigestVerify(ring->md, signature, n, (const uint8_t *)p->header,
	    p->header_len + 1 + p->payload_len) == 1;
	return good ? NULL : "token_signature";
}

/* ----------------------------------------------------------------- claims */

static bool
take_string(const json_t *json, const char *name, char *out, size_t size)
{
	const json_t *v = json_object_get(json, name);

	if (!json_is_string(v) || json_string_length(v) >= size ||
	    json_string_length(v) == 0)
		return false;
	memcpy(out, json_string_value(v), json_string_length(v) + 1);
	return true;
}

static bool
take_time(const json_t *json, const char *name, int64_t *ms)
{
	const json_t *v = json_object_get(json, name);

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    json_integer_value(v) > INT64_MAX / 1000)
		return false;
	*ms = json_integer_value(v) * 1000;
	return true;
}

static bool
audience_has(const json_t *aud, const char *audience)
{
	size_t i;
	json_t *item;

	if (json_is_string(aud))
		return strcmp(json_string_value(aud), audience) == 0;
	json_array_foreach(aud, i, item)
		if (json_is_string(item) &&
		    strcmp(json_string_value(item), audience) == 0)
			return true;
	return false;
}

static bool
absent_or(const json_t *json, const char *name, bool good)
{
	return json_object_get(json, name) == NULL || good;
}

/* Of our own tokens: what others call so means nothing here. */
static bool
take_own(const json_t *c, struct iam_claims *out)
{
	if (!absent_or(c, "aegis_kind", take_string(c, "aegis_kind", out->kind,
	    sizeof(out->kind))) || !absent_or(c, "aegis_tenant", take_string(c,
	    "aegis_tenant", out->tenant, sizeof(out->tenant))) ||
	    !absent_or(c, "aegis_parent", take_string(c, "aegis_parent",
	    out->parent, sizeof(out->parent))))
		return false;
	/* No anonymous agents. */
	return strcmp(out->kind, "agent") != 0 || out->parent[0] != '\0';
}

static const char *
check_claims(const json_t *c, const char *issuer, const char *audience,
    int64_t now_ms, struct iam_claims *out)
{
	const json_t *aud = json_object_get(c, "aud");
	char iss[IAM_ISSUER_MAX + 1];

	if (!take_string(c, "iss", iss, sizeof(iss)) || aud == NULL ||
	    !take_string(c, "sub", out->sub, sizeof(out->sub)) ||
	    !take_string(c, "jti", out->jti, sizeof(out->jti)) ||
	    !take_time(c, "iat", &out->iat_ms) ||
	    !take_time(c, "exp", &out->exp_ms))
		return "token_claims";
	if (!absent_or(c, "nbf", take_time(c, "nbf", &out->nbf_ms)) ||
	    (strcmp(issuer, IAM_ISSUER) == 0 && !take_own(c, out)))
		return "token_claims";
	if (strcmp(iss, issuer) != 0)
		return "token_issuer";
	if (!audience_has(aud, audience))
		return "token_audience";
	/* Our own end by our own clock. */
	if (now_ms >= out->exp_ms + (strcmp(issuer, IAM_ISSUER) == 0 ? 0 :
	    IAM_SKEW_MS))
		return "token_expired";
	if (out->iat_ms > now_ms + IAM_SKEW_MS || out->nbf_ms > now_ms +
	    IAM_SKEW_MS)
		return "token_not_yet_valid";
	return NULL;
}

const char *
iam_jwt_claims(const struct iam_jwt *jwt, const char *issuer,
    const char *audience, int64_t now_ms, struct iam_claims *out)
{
	uint8_t buffer[IAM_TOKEN_BYTES_MAX];
	json_t *claims = json_part(jwt->payload, jwt->payload_len, buffer,
	    sizeof(buffer));
	const char *why;

	memset(out, 0, sizeof(*out));
	if (claims == NULL)
		return "token_malformed";
	why = check_claims(claims, issuer, audience, now_ms, out);
	json_decref(claims);
	return why;
}

const char *
iam_jwt_verify(struct iam_keyring *ring, const char *audience,
    const struct iam_jwt *jwt, int64_t now_ms, struct iam_claims *out)
{
	const struct iam_issuer_key *key = key_named(ring, jwt->kid, now_ms);
	const char *why;

	if (strcmp(jwt->alg, "EdDSA") != 0)
		return "token_algorithm";
	if (key == NULL)
		return "token_signature";
	if ((why = check_signature(ring, jwt, key)) != NULL)
		return why;
	return iam_jwt_claims(jwt, IAM_ISSUER, audience, now_ms, out);
}

/* ---------------------------------------------------------------- issuing */

static json_t *
scope_claim(char *const *scopes, size_t count)
{
	char text[SCOPE_CLAIM_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(scopes[i]);

		/* A space inside a label's value would split it. */
		if (n + len + 1 > SCOPE_CLAIM_MAX ||
		    strchr(scopes[i], ' ') != NULL)
			return NULL;
		if (n > 0)
			text[n++] = ' ';
		memcpy(text + n, scopes[i], len);
		n += len;
	}
	return count == 0 ? NULL : json_stringn(text, n);
}

static json_t *
claims_json(const char *audience, const struct iam_claims *c,
    char *const *scopes, size_t count)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s}",
	    "iss", IAM_ISSUER, "sub", c->sub, "aud", audience,
	    "iat", (json_int_t)(c->iat_ms / 1000),
	    "exp", (json_int_t)(c->exp_ms / 1000), "jti", c->jti,
	    "aegis_kind", c->kind, "aegis_tenant", c->tenant);
	json_t *scope = scope_claim(scopes, count);

	if (json != NULL && c->parent[0] != '\0')
		json_object_set_new(json, "aegis_parent", json_string(c->parent));
	if (json != NULL && scope != NULL)
		json_object_set_new(json, "scope", scope);
	else
		json_decref(scope);
	return json;
}

static char *
encode(json_t *json)
{
	char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
	char *out = NULL;

	if (text != NULL && (out = malloc(strlen(text) * 4 / 3 + 4)) != NULL)
		ag_base64url((const uint8_t *)text, strlen(text), out);
	free(text);
	json_decref(json);
	return out;
}

static char *
join(const char *a, const char *b)
{
	char *out = NULL;

	if (a != NULL && b != NULL && asprintf(&out, "%s.%s", a, b) < 0)
		out = NULL;
	return out;
}

char *
iam_jwt_input(const char *kid, const char *audience,
    const struct iam_claims *claims, char *const *scopes, size_t scope_count)
{
	char *header = encode(json_pack("{s:s, s:s, s:s}", "alg", "EdDSA",
	    "kid", kid, "typ", "JWT"));
	char *payload = encode(claims_json(audience, claims, scopes,
	    scope_count));
	char *out = join(header, payload);

	free(header);
	free(payload);
	return out;
}

char *
iam_jwt_finish(const char *input, const uint8_t *signature, size_t len)
{
	char text[2 * SIGNATURE_BYTES];

	if (len != SIGNATURE_BYTES)
		return NULL;
	ag_base64url(signature, len, text);
	return join(input, text);
}
