/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes: OpenSSL's private generator (SP 800-90A CTR_DRBG, seeded by the
 * kernel). They go to the plane sealed, like every answer that is a secret.
 */
#include "keys.h"

#include <openssl/rand.h>

enum { RANDOM_BYTES_MAX = 4096 };

ag_err
on_key_random(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__RandomAsk *ask = msg;
	Ag__RandomReply reply = AG__RANDOM_REPLY__INIT;

	if (ask->length < 1 || ask->length > RANDOM_BYTES_MAX)
		return ag_refuse(ctx, AG_INVALID_FIELD, "out_of_range", "/length",
		    "1 to %d bytes.", RANDOM_BYTES_MAX);
	reply.random_b64.len = ask->length;
	reply.random_b64.data = ag_alloc(ctx, ask->length);
	if (reply.random_b64.data == NULL)
		return AG_NO_MEMORY;
	if (RAND_priv_bytes(reply.random_b64.data, (int)ask->length) != 1)
		return AG_GENERAL_FAILURE;
	return ag_reply(ctx, AG_MSG_KEY_RANDOM, &reply);
}
