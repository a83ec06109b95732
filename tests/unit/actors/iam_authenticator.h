/* SPDX-License-Identifier: Apache-2.0 */
/* A FIDO2 key of software, and people of the fleet `f` who enrol it. */
#ifndef IAM_AUTHENTICATOR_H
#define IAM_AUTHENTICATOR_H

#include "iam_fleet.h"

#include "ceremony.h"
#include "exec.h"
#include "factors.h"
#include "iam.h"
#include "webauthn.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>

static struct fleet *f;

static const char *const origins[] = { "https://localhost" };
static const struct iam_fido_party party = { "localhost", origins, 1, false };

struct key {
	EVP_PKEY *pkey;
	uint8_t id[16];
	uint32_t count;
};

static inline struct key
key_new(uint8_t id)
{
	struct key k = { EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), { 0 }, 0 };

	assert_non_null(k.pkey);
	memset(k.id, id, sizeof(k.id));
	return k;
}

static inline size_t
auth_data(struct key *k, uint8_t flags, uint32_t count, bool attested,
    uint8_t *out)
{
	static const uint8_t cose_head[] = { 0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21,
		0x58, 32 }, cose_mid[] = { 0x22, 0x58, 32 };
	uint8_t point[65], *at = out;
	size_t len;

	ag_sha256("localhost", 9, at);
	at += 32;
	*at++ = (uint8_t)(flags | (attested ? IAM_FIDO_AT : 0));
	*at++ = (uint8_t)(count >> 24);
	*at++ = (uint8_t)(count >> 16);
	*at++ = (uint8_t)(count >> 8);
	*at++ = (uint8_t)count;
	if (!attested)
		return (size_t)(at - out);
	memset(at, 9, 16);
	at += 16;
	*at++ = 0;
	*at++ = sizeof(k->id);
	memcpy(at, k->id, sizeof(k->id));
	at += sizeof(k->id);
	assert_int_equal(EVP_PKEY_get_octet_string_param(k->pkey,
	    OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len), 1);
	assert_int_equal(len, 65);
	memcpy(at, cose_head, sizeof(cose_head));
	memcpy(at + 10, point + 1, 32);
	memcpy(at + 42, cose_mid, sizeof(cose_mid));
	memcpy(at + 45, point + 33, 32);
	return (size_t)(at - out) + 77;
}

static inline size_t
object(const uint8_t *auth, size_t len, uint8_t *out)
{
	static const char head[] = "\xa3\x63" "fmt" "\x64" "none" "\x67"
	    "attStmt" "\xa0" "\x68" "authData" "\x58";
	size_t n = sizeof(head) - 1;

	assert_in_range(len, 24, 255);
	memcpy(out, head, n);
	out[n] = (uint8_t)len;
	memcpy(out + n + 1, auth, len);
	return n + 1 + len;
}

static inline size_t
client_data(const char *type, const uint8_t challenge[32], const char *origin,
    char *out)
{
	char text[64];

	ag_base64url(challenge, 32, text);
	return (size_t)sprintf(out, "{\"type\":\"%s\",\"challenge\":\"%s\","
	    "\"origin\":\"%s\",\"crossOrigin\":false}", type, text, origin);
}

static inline size_t
sign_it(struct key *k, const uint8_t *auth, size_t auth_len, const char *client,
    size_t client_len, uint8_t out[80])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t all[1200];
	size_t len = 80;

	memcpy(all, auth, auth_len);
	ag_sha256(client, client_len, all + auth_len);
	assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL,
	    k->pkey), 1);
	assert_int_equal(EVP_DigestSign(md, out, &len, all, auth_len + 32), 1);
	EVP_MD_CTX_free(md);
	return len;
}

#define BYTES(p, n) (struct iam_bytes){ (const uint8_t *)(p), (n) }

static inline struct iam_node *
node_of(const char *name)
{
	struct iam *iam = ag_kit_state(f->kit);

	return iam_principal_find(iam, iam_tenant_find(iam, "default"), name);
}

static inline struct ended
begin(const char *token, const char *who, const char *name)
{
	Ag__WebauthnBeginAsk ask = AG__WEBAUTHN_BEGIN_ASK__INIT;

	ask.name = (char *)name;
	return request(f, AG_MSG_WEBAUTHN_BEGIN, ASK(.token = token,
	    .selector = who), &ask);
}

/* What an authenticator makes of the options; ask borrows both. */
struct made {
	uint8_t whole[512];
	char client[512];
};

static inline void
make(struct made *made, struct key *k, const Ag__WebauthnBeginReply *options,
    Ag__WebauthnConfirmAsk *ask)
{
	uint8_t auth[256];

	ask->challenge_id = options->challenge_id;
	ask->client_data_json_b64.data = (uint8_t *)made->client;
	ask->client_data_json_b64.len = client_data("webauthn.create",
	    options->challenge_b64.data, options->origins[0], made->client);
	ask->attestation_object_b64.data = made->whole;
	ask->attestation_object_b64.len = object(auth, auth_data(k, IAM_FIDO_UP,
	    k->count, true, auth), made->whole);
}

static inline struct ended
confirm(const char *token, const char *who, struct key *k,
    const Ag__WebauthnBeginReply *options)
{
	Ag__WebauthnConfirmAsk ask = AG__WEBAUTHN_CONFIRM_ASK__INIT;
	struct made made;

	make(&made, k, options, &ask);
	return request(f, AG_MSG_WEBAUTHN_CONFIRM, ASK(.token = token,
	    .selector = who), &ask);
}

static inline void
enrol(const char *token, const char *who, struct key *k, const char *name)
{
	struct ended e = begin(token, who, name);

	assert_int_equal(e.err, AG_OK);
	expect(confirm(token, who, k, e.reply), AG_OK, NULL);
	ended_free(&e);
}

#endif
