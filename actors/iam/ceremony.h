/* SPDX-License-Identifier: Apache-2.0 */
/*
 * W3C Web Authentication (Level 2): what is asked of a registration (§7.1) and
 * of an assertion (§7.2) before it counts. Pure but for libfido2, which checks
 * the signatures. Bytes are looked at here first (ceremony_data.c), so that libfido2
 * sees none that claim more than they hold.
 */
#ifndef AEGIS_ACTORS_IAM_CEREMONY_H
#define AEGIS_ACTORS_IAM_CEREMONY_H

#include <aegis/err.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	IAM_FIDO_CHALLENGE = 32,
	IAM_FIDO_ID_MAX = 512,      /* bytes of a credential id */
	IAM_FIDO_KEY_MAX = 259,     /* of a public key: RSA-2048, n and e */
	IAM_FIDO_CLIENT_MAX = 2048, /* of clientDataJSON */
	IAM_FIDO_OBJECT_MAX = 8192, /* of an attestation object */
	IAM_FIDO_AUTH_MAX = 1024,   /* of an assertion's authenticator data */
	IAM_FIDO_SIGNATURE_MAX = 512,
	IAM_FIDO_AAGUID = 16,
	IAM_FIDO_FORMAT_MAX = 16,
};

/* How it ended; each but the first and the last has its words. */
enum iam_fido_end {
	IAM_FIDO_OK, IAM_FIDO_CLIENT_DATA, IAM_FIDO_CEREMONY,
	IAM_FIDO_WRONG_CHALLENGE, IAM_FIDO_ORIGIN, IAM_FIDO_AUTH_DATA,
	IAM_FIDO_RP_ID, IAM_FIDO_PRESENCE, IAM_FIDO_VERIFICATION,
	IAM_FIDO_ALGORITHM, IAM_FIDO_ATTESTATION, IAM_FIDO_CREDENTIAL,
	IAM_FIDO_SIGNATURE, IAM_FIDO_COUNT, IAM_FIDO_NO_MEMORY,
};
struct iam_fido_word {
	const char *reason; /* reason_code */
	const char *detail;
};
const struct iam_fido_word *iam_fido_word(enum iam_fido_end end);

struct iam_bytes {
	const uint8_t *data;
	size_t len;
};
/* For whom keys are made, and from where they may be used. Borrowed. */
struct iam_fido_party {
	const char *rp_id;
	const char *const *origins;
	unsigned origin_count;
	bool verification; /* of the user: PIN or finger */
};
struct iam_fido_key {
	uint8_t id[IAM_FIDO_ID_MAX];
	size_t id_len;
	int algorithm; /* COSE */
	uint8_t key[IAM_FIDO_KEY_MAX];
	size_t key_len;
	uint32_t sign_count;
	uint8_t aaguid[IAM_FIDO_AAGUID];
	const char *attestation; /* "none", "self", "certificate" */
};
/* COSE numbers of what is taken, the one we would rather have first; 0: the
 * end. And their JOSE names; NULL: none of them. */
extern const int iam_fido_algorithms[];
const char *iam_fido_algorithm(int algorithm);

/* out is set with IAM_FIDO_OK only. */
enum iam_fido_end iam_fido_register(const struct iam_fido_party *party,
    const uint8_t challenge[IAM_FIDO_CHALLENGE], struct iam_bytes client,
    struct iam_bytes object, struct iam_fido_key *out) AG_MUST;
/* The counter must be beyond key->sign_count, unless the authenticator has
 * none (both are 0); *count: where it is now. */
enum iam_fido_end iam_fido_assert(const struct iam_fido_party *party,
    const uint8_t challenge[IAM_FIDO_CHALLENGE], const struct iam_fido_key *key,
    struct iam_bytes client, struct iam_bytes auth, struct iam_bytes signature,
    uint32_t *count) AG_MUST;
/* Is it one of this algorithm, on its curve? */
bool iam_fido_key_valid(int algorithm, struct iam_bytes key);

/* ---- ceremony_data.c: the bytes; what is found points into them */
enum { IAM_FIDO_UP = 0x01, IAM_FIDO_UV = 0x04, IAM_FIDO_AT = 0x40,
	IAM_FIDO_ED = 0x80 };
struct iam_fido_auth {
	const uint8_t *rp_hash; /* SHA-256 */
	uint8_t flags;
	uint32_t count;
	const uint8_t *aaguid;     /* NULL: no credential is in it, … */
	struct iam_bytes id, cose; /* … nor these */
};
/* Nothing is left over, everything is definite and no deeper than it may be. */
bool iam_fido_auth_read(struct iam_bytes in, struct iam_fido_auth *out);
struct iam_fido_object {
	char format[IAM_FIDO_FORMAT_MAX];
	struct iam_bytes statement; /* CBOR */
	struct iam_bytes auth;
};
bool iam_fido_object_read(struct iam_bytes in, struct iam_fido_object *out);
/* type: "webauthn.create" or "webauthn.get". */
enum iam_fido_end iam_fido_client_check(const struct iam_fido_party *party,
    const char *type, const uint8_t challenge[IAM_FIDO_CHALLENGE],
    struct iam_bytes in);

#endif
