/* SPDX-License-Identifier: Apache-2.0 */
/* People with a second factor of codes, in the fleet `f` of the test. */
#ifndef IAM_FACTOR_H
#define IAM_FACTOR_H

#include "iam_fleet.h"

#include "otp.h"

static struct fleet *f;

static inline size_t
base32_back(const char *text, uint8_t *out)
{
	unsigned bits = 0, n = 0;
	size_t len = 0;

	for (; *text != '\0'; text++) {
		n = n << 5 | (unsigned)(*text >= 'A' ? *text - 'A' :
		    *text - '2' + 26);
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			out[len++] = (uint8_t)(n >> bits);
		}
	}
	return len;
}

/* Opens what the plane would get. */
static inline void
secret_of(const struct ended *e, uint8_t secret[20])
{
	Ag__Sealed *sealed;
	Ag__TotpBeginReply *reply;
	const uint8_t *plain;
	size_t len;

	assert_int_equal(e->err, AG_OK);
	assert_true(e->outcome->has_sealed && e->outcome->sealed);
	sealed = ag__sealed__unpack(NULL, e->outcome->reply.len,
	    e->outcome->reply.data);
	assert_non_null(sealed);
	assert_int_equal(ag_unseal_answer(ag_kit_ctx(f->kit), sealed, &plain,
	    &len), AG_OK);
	reply = ag__totp_begin_reply__unpack(NULL, len, plain);
	assert_non_null(reply);
	assert_int_equal(strlen(reply->secret_b32), 32);
	assert_non_null(strstr(reply->otpauth_uri, reply->secret_b32));
	assert_memory_equal(reply->otpauth_uri, "otpauth://totp/Aegis:", 21);
	assert_int_equal(base32_back(reply->secret_b32, secret), 20);
	ag__totp_begin_reply__free_unpacked(reply, NULL);
	ag__sealed__free_unpacked(sealed, NULL);
}

static inline const char *
code_at(const uint8_t secret[20], int steps)
{
	static char code[7];

	assert_true(iam_otp_code(secret, 20, (uint64_t)(ag_kit_now(f->kit) /
	    30000 + steps), code));
	return code;
}

static inline struct ended
confirm(const char *token, const char *who, const char *code)
{
	Ag__TotpConfirmAsk ask = AG__TOTP_CONFIRM_ASK__INIT;

	ask.code = (char *)code;
	return request(f, AG_MSG_TOTP_CONFIRM, ASK(.token = token,
	    .selector = who), &ask);
}

struct someone {
	char *id, *token;
	uint8_t secret[20];
};

static inline struct someone
enrolled(const char *name)
{
	struct someone s;
	struct ended e;

	s.id = person(f, f->admin, AG__KIND__V__human, name, "admin");
	s.token = token_of(f, f->admin, s.id, NULL);
	e = request(f, AG_MSG_TOTP_BEGIN, ASK(.token = s.token,
	    .selector = name), NULL);
	secret_of(&e, s.secret);
	ended_free(&e);
	expect(confirm(s.token, name, code_at(s.secret, 0)), AG_OK, NULL);
	return s;
}

static inline void
someone_free(struct someone *s)
{
	free(s->id);
	free(s->token);
}

/* ---------------------------------------------------------------- step-up */

/* What risk asks for the request that it got. */
static inline void
challenge(const struct ended *e, char out[AG_ID_SIZE])
{
	Ag__ChallengeAsk ask = AG__CHALLENGE_ASK__INIT;
	Ag__Envelope env = AG__ENVELOPE__INIT;
	const struct ag_kit_sent *sent;

	assert_true(e->passed);
	assert_true(e->grant->has_step_up_digest);
	ask.principal_id = e->grant->actor_id;
	ask.digest = e->grant->step_up_digest;
	env.has_corr = true;
	env.corr = 77;
	ag_kit_deliver(f->kit, AG_ROLE_RISK, 0, AG_MSG_CHALLENGE_ASK, &env, &ask);
	sent = ag_kit_find(f->kit, AG_MSG_CHALLENGE_REPLY);
	assert_non_null(sent);
	strcpy(out, ((const Ag__ChallengeReply *)sent->body)->challenge_id);
	assert_memory_equal(out, "chl_", 4);
	assert_int_equal(((const Ag__ChallengeReply *)sent->body)->expires_at,
	    ag_kit_now(f->kit) + 300000);
}

static inline struct ended
sign_with(const struct someone *s, const char *selector, const char *text,
    const char *step_up)
{
	Ag__SignAsk ask = sign_ask();

	ask.message_b64.data = (uint8_t *)(uintptr_t)text;
	ask.message_b64.len = strlen(text);
	return request(f, AG_MSG_KEY_SIGN, ASK(.token = s->token,
	    .selector = selector, .step_up = step_up), &ask);
}

static inline const char *
header(const char *id, const char *code)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s totp=%s", id, code);
	return text;
}

static inline void
asked(const struct someone *s, const char *selector, const char *text,
    char id[AG_ID_SIZE])
{
	struct ended e = sign_with(s, selector, text, NULL);

	challenge(&e, id);
	ended_free(&e);
}

#endif
