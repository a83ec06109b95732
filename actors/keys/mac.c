/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mac and mac-verify: HMAC under the shard's locked key. The context would keep
 * the key's inner and outer state in ordinary memory, so it is set to another
 * key after each use.
 */
#include "use.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>

/* Prepared once for each digest: one thread. */
static EVP_MAC_CTX *
mac_ctx(const struct algorithm *a)
{
	static EVP_MAC_CTX *known[3]; /* by digest length: 32, 48, 64 */
	EVP_MAC_CTX **c = &known[a->size / 16 - 2];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    (char *)(uintptr_t)a->name, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac;

	if (*c != NULL)
		return *c;
	mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	*c = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
	EVP_MAC_free(mac); /* the context holds it */
	if (*c != NULL && EVP_MAC_CTX_set_params(*c, params) != 1) {
		EVP_MAC_CTX_free(*c);
		*c = NULL;
	}
	return *c;
}

ag_err
keys_mac(struct parsed *p, const struct algorithm *a, const uint8_t *data,
    size_t len, uint8_t out[MAC_BYTES_MAX])
{
	static const uint8_t nobodys[MAC_BYTES_MAX];
	EVP_MAC_CTX *ctx = mac_ctx(a);
	size_t n = 0;
	bool ok;

	if (ctx == NULL)
		return AG_NO_MEMORY;
	ok = EVP_MAC_init(ctx, ag_secret_bytes(p->raw), ag_secret_len(p->raw),
	    NULL) == 1 && EVP_MAC_update(ctx, data, len) == 1 &&
	    EVP_MAC_final(ctx, out, &n, MAC_BYTES_MAX) == 1 && n == a->size;
	if (EVP_MAC_init(ctx, nobodys, sizeof(nobodys), NULL) != 1)
		ok = false;
	ERR_clear_error();
	return ok ? AG_OK : AG_GENERAL_FAILURE;
}

static ag_err
plan_length(const struct plan *plan, bool has, uint32_t length, struct why *why)
{
	if (!has || (length >= MAC_BYTES_MIN && length <= plan->algorithm->size))
		return AG_OK;
	return no(why, AG_INVALID_FIELD, "out_of_range", "/mac_length",
	    "16 bytes to the length of the algorithm's MAC.");
}

static ag_err
plan_algorithm(struct use *u, bool has, int wanted, struct plan *plan,
    struct why *why)
{
	plan->is_private = true;
	plan->algorithm = algorithm_pick(u->spec->mac, has, wanted);
	if (plan->algorithm != NULL)
		return AG_OK;
	return no(why, AG_INVALID_FIELD, "algorithm_mismatch", "/algorithm",
	    "A key of this key_spec does not do this algorithm.");
}

ag_err
plan_mac(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__MacAsk *ask = msg;
	ag_err err;

	plan->version = u->hot->stored->key->version;
	if ((err = plan_algorithm(u, ask->has_algorithm, ask->algorithm, plan, why)) != AG_OK)
		return err;
	return plan_length(plan, ask->has_mac_length, ask->mac_length, why);
}

ag_err
run_mac(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	const Ag__MacAsk *ask = msg;
	Ag__MacReply *reply = out;
	struct parsed *p = use_private(u, plan->version);
	uint8_t *mac = ag_alloc(u->ctx, MAC_BYTES_MAX);
	ag_err err;

	if (p == NULL || mac == NULL)
		return AG_NO_MEMORY;
	if ((err = keys_mac(p, plan->algorithm, ask->message_b64.data,
	    ask->message_b64.len, mac)) != AG_OK)
		return err;
	reply->mac_b64.data = mac;
	reply->mac_b64.len = ask->has_mac_length ? ask->mac_length :
	    plan->algorithm->size;
	reply->key_id = u->hot->id;
	reply->key_version = plan->version;
	reply->algorithm = plan->algorithm->id;
	u->used = plan->version;
	return AG_OK;
}

ag_err
plan_mac_verify(struct use *u, const void *msg, struct plan *plan, struct why *why)
{
	const Ag__MacVerifyAsk *ask = msg;
	ag_err err;

	if ((err = plan_version(ask->has_key_version, ask->key_version, 0, plan, why)) != AG_OK ||
	    (err = plan_algorithm(u, ask->has_algorithm, ask->algorithm, plan, why)) != AG_OK)
		return err;
	return plan_length(plan, ask->has_mac_length, ask->mac_length, why);
}

static ag_err
check_one(struct use *u, const void *msg, const struct plan *plan,
    uint32_t version, bool *valid)
{
	const Ag__MacVerifyAsk *ask = msg;
	struct parsed *p = use_private(u, version);
	size_t len = ask->has_mac_length ? ask->mac_length : plan->algorithm->size;
	uint8_t mac[MAC_BYTES_MAX];
	ag_err err;

	if (p == NULL)
		return use_wants(u, version);
	if ((err = keys_mac(p, plan->algorithm, ask->message_b64.data,
	    ask->message_b64.len, mac)) != AG_OK)
		return err;
	*valid = ask->mac_b64.len == len &&
	    ag_secret_equal(mac, ask->mac_b64.data, len);
	ag_wipe(mac, sizeof(mac));
	return AG_OK;
}

ag_err
run_mac_verify(struct use *u, const void *msg, const struct plan *plan, void *out,
    struct why *why)
{
	Ag__MacVerifyReply *reply = out;
	uint32_t version;
	bool valid;
	ag_err err = use_versions(u, msg, plan, check_one, &version, &valid, why);

	if (err != AG_OK)
		return err;
	reply->valid = valid;
	reply->key_id = u->hot->id;
	reply->key_version = version;
	reply->algorithm = plan->algorithm->id;
	u->used = version;
	return AG_OK;
}
