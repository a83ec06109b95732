/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requestState: what a host brings back when people were asked (2026-07-28,
 * "Multi Round-Trip Requests"). It is sealed (XChaCha20-Poly1305) under a key
 * of this process, is good once, until the approval ends, and only with the
 * credential, the tool and the arguments that it was given out for. Whether
 * people agreed, to what, and whether that was used, the approvals know.
 */
#include "mcp.h"

#include <sodium.h>
#include <string.h>

enum {
	NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
	TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES,
};

/* Sealed as it lies in memory: nobody else opens it. */
struct state {
	uint64_t serial;
	int64_t expires_at;
	uint8_t caller[32];    /* SHA-256 of the credential */
	uint8_t arguments[32]; /* of the tool's name and its arguments */
	char approval[AG_ID_SIZE];
};
enum { SEALED = NONCE + sizeof(struct state) + TAG };
_Static_assert((SEALED * 4 + 2) / 3 < STATE_TEXT_SIZE, "it fits, in base64url");

/* --------------------------------------------------------------------- bindings */

static void
hash_caller(const struct conn *conn, uint8_t out[32])
{
	const char *credential = request_credential(conn);

	ag_sha256(credential == NULL ? "" : credential,
	    credential == NULL ? 0 : strlen(credential), out);
}

/* ----------------------------------------------------------------------- serials */

/* The last STATE_SERIALS are remembered; an older one counts as used. */
static bool
is_used(const struct mcp *mcp, uint64_t serial)
{
	return serial > mcp->state_serial ||
	    mcp->state_serial - serial >= STATE_SERIALS ||
	    (mcp->state_used[serial % STATE_SERIALS / 8] >> serial % 8 & 1) != 0;
}

static uint64_t
serial_new(struct mcp *mcp)
{
	uint64_t serial = ++mcp->state_serial;

	mcp->state_used[serial % STATE_SERIALS / 8] &=
	    (uint8_t)~(1u << serial % 8);
	return serial;
}

static void
serial_use(struct mcp *mcp, uint64_t serial)
{
	mcp->state_used[serial % STATE_SERIALS / 8] |= (uint8_t)(1u << serial % 8);
}

/* ----------------------------------------------------------------- sealed, opened */

ag_err
state_init(struct mcp *mcp)
{
	ag_err err = ag_secret_new(crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
	    &mcp->state_key);

	if (err == AG_OK)
		randombytes_buf(ag_secret_bytes(mcp->state_key),
		    ag_secret_len(mcp->state_key));
	return err;
}

bool
state_seal(struct conn *conn, const uint8_t arguments[32], const char *approval,
    int64_t expires_at, char out[STATE_TEXT_SIZE])
{
	struct mcp *mcp = mcp_of(conn);
	struct state state;
	uint8_t sealed[SEALED];
	unsigned long long len;

	memset(&state, 0, sizeof(state));
	state.expires_at = expires_at;
	if (strlen(approval) >= sizeof(state.approval))
		return false;
	hash_caller(conn, state.caller);
	memcpy(state.arguments, arguments, sizeof(state.arguments));
	memcpy(state.approval, approval, strlen(approval));
	state.serial = serial_new(mcp);
	randombytes_buf(sealed, NONCE);
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE, &len,
	    (const uint8_t *)&state, sizeof(state), NULL, 0, NULL, sealed,
	    ag_secret_bytes(mcp->state_key));
	ag_base64url(sealed, SEALED, out);
	return true;
}

static bool
unseal(struct mcp *mcp, const char *text, struct state *state)
{
	uint8_t sealed[SEALED];
	unsigned long long plain;
	size_t len;

	return ag_base64url_parse(text, strlen(text), sealed, sizeof(sealed), &len) &&
	    len == SEALED && crypto_aead_xchacha20poly1305_ietf_decrypt(
	    (uint8_t *)state, &plain, NULL, sealed + NONCE, len - NONCE, NULL, 0,
	    sealed, ag_secret_bytes(mcp->state_key)) == 0;
}

/* Why not; NULL: it is good. Told apart in the log, and nowhere else. */
static const char *
fault_of(struct conn *conn, const uint8_t arguments[32], const char *text,
    struct state *state)
{
	struct mcp *mcp = mcp_of(conn);
	uint8_t caller[32];

	hash_caller(conn, caller);
	if (!unseal(mcp, text, state))
		return "state_tampered";
	if (ag_now_ms(conn->plane->ctx) >= state->expires_at)
		return "state_expired";
	if (!ag_secret_equal(caller, state->caller, sizeof(caller)))
		return "state_other_caller";
	if (!ag_secret_equal(arguments, state->arguments,
	    sizeof(state->arguments)))
		return "state_other_arguments";
	return is_used(mcp, state->serial) ? "state_replayed" : NULL;
}

const char *
state_open(struct conn *conn, const uint8_t arguments[32], const char *text,
    struct refuse *refuse)
{
	struct state state;
	const char *fault = fault_of(conn, arguments, text, &state);

	if (fault == NULL) {
		serial_use(mcp_of(conn), state.serial);
		return pool_strndup(&conn->plane->pool, state.approval,
		    strlen(state.approval));
	}
	refuse_set(refuse, AG_INVALID_FIELD, fault, "/params/requestState",
	    "this state is not good for this request");
	return NULL;
}

bool
state_is_fault(const char *reason_code)
{
	return reason_code != NULL && strncmp(reason_code, "state_", 6) == 0;
}
