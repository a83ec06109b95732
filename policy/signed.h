/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed policy documents. What is signed is a statement: this tenant's
 * document of this name is to have the text of this digest, or to be gone; so
 * many statements came before it; and until when it may be put in force. It is
 * a compact JWS (RFC 7515) with Ed25519 (RFC 8037), whose bytes follow from
 * what it says: one that is written in any other way is none.
 *
 * Pure: no clock, no I/O; only libraries.
 */
#ifndef AEGIS_POLICY_SIGNED_H
#define AEGIS_POLICY_SIGNED_H

#include <openssl/evp.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AG_SIGNED_NAME_SIZE = 64,
	AG_SIGNED_HEX_SIZE = 65,
	AG_SIGNED_TEXT_SIZE = 1024, /* of the whole, with NUL */
	AG_SIGNED_PEM_MAX = 4096,   /* bytes of a key's file */
};
/* In the place of a digest: there shall be no such document. */
#define AG_SIGNED_GONE "gone"

struct ag_signed {
	char tenant[AG_SIGNED_NAME_SIZE], name[AG_SIGNED_NAME_SIZE];
	int64_t version;    /* the signer's own count, from 1; it only goes up */
	char sha256[AG_SIGNED_HEX_SIZE]; /* of the text, or AG_SIGNED_GONE */
	int64_t expires_at; /* ms, whole seconds */
	char signer[AG_SIGNED_HEX_SIZE]; /* SHA-256 of its raw public key */
};

/* Of them, the first that is true is said. */
enum ag_signed_fault {
	AG_SIGNED_OK,
	AG_SIGNED_MISSING,
	AG_SIGNED_MALFORMED,
	AG_SIGNED_UNKNOWN_SIGNER,
	AG_SIGNED_BAD,           /* the signature is not the signer's */
	AG_SIGNED_OTHER_TENANT,
	AG_SIGNED_OTHER_NAME,
	AG_SIGNED_ALTERED,       /* the text is not what was signed */
	AG_SIGNED_OLDER,
	AG_SIGNED_EXPIRED,
	AG_SIGNED_SIGNER_EXPIRED,
	AG_SIGNED_FAULTS,
};
/* "signature_missing" …, and what it means in a sentence. */
const char *ag_signed_reason(enum ag_signed_fault fault);
const char *ag_signed_detail(enum ag_signed_fault fault);

/* Whose statements are believed. */
struct ag_signer {
	char id[AG_SIGNED_HEX_SIZE];
	const char *name;
	const char *tenant; /* NULL: of any */
	int64_t until;      /* ms; what it signed is not taken from then on */
	EVP_PKEY *key;
};

/* What a statement has to be about. */
struct ag_signed_want {
	const char *tenant, *name;
	const char *text;  /* NULL: the document is to go */
	size_t len;
	int64_t after;     /* the newest statement that was taken; 0: none */
	bool again;        /* that same one is good, too */
	int64_t now;
};

/* An Ed25519 key of a PEM text; EVP_PKEY_free. NULL: it is none. id: its own. */
EVP_PKEY *ag_signed_public(const char *pem, size_t len,
    char id[AG_SIGNED_HEX_SIZE]);
EVP_PKEY *ag_signed_private(const char *pem, size_t len,
    char id[AG_SIGNED_HEX_SIZE]);

/* Of a text; NULL: AG_SIGNED_GONE. */
void ag_signed_digest(const char *text, size_t len,
    char out[AG_SIGNED_HEX_SIZE]);
/* Signs what `what` says, `signer` too. False: it cannot be said, or the
 * library failed. */
bool ag_signed_make(const struct ag_signed *what, EVP_PKEY *key,
    char out[AG_SIGNED_TEXT_SIZE]);
/* Reads one without believing it. False: malformed. */
bool ag_signed_read(const char *text, struct ag_signed *out);
/* out is what it says, if it can be read; text NULL or empty: there is none. */
enum ag_signed_fault ag_signed_check(const char *text,
    const struct ag_signer *signers, size_t count,
    const struct ag_signed_want *want, struct ag_signed *out);

#endif
