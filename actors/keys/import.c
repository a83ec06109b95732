/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that were made elsewhere. Private and symmetric material comes wrapped
 * under a key that the root of trust made for this one import, and is opened
 * there: no shard and no plane ever sees it. Of a public key there is no secret.
 */
#include "keys.h"

#include <openssl/crypto.h>

/* ---------------------------------------------------------- import-parameters */

static ag_err
on_importer(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__RotImporterReply *made = msg;
	Ag__ImportParametersReply reply = AG__IMPORT_PARAMETERS_REPLY__INIT;

	if (status != AG_OK)
		return keys_rot_failed(ctx, status);
	reply.import_id = memo;
	reply.expires_at = made->expires_at;
	reply.public_key_pem = keys_pem(ctx, &made->public_key_der);
	if (reply.public_key_pem == NULL)
		return AG_GENERAL_FAILURE;
	return ag_reply(ctx, AG_MSG_KEY_IMPORT_PARAMETERS, &reply);
}

ag_err
on_key_import_parameters(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__ImportParametersAsk *ask = msg;
	Ag__RotImporterAsk importer = AG__ROT_IMPORTER_ASK__INIT;
	char import_id[AG_ID_SIZE];

	ag_id_new(ctx, "imp", import_id);
	ag_note_param(ctx, "import_id", import_id);
	importer.tenant = ag_grant(ctx)->tenant;
	importer.import_id = import_id;
	importer.wrapping_algorithm = ask->wrapping_algorithm;
	return ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_IMPORTER_ASK,
	    &importer, AG_MSG_ROT_IMPORTER_REPLY, ROT_MAKE_TIMEOUT_MS, on_importer,
	    import_id, sizeof(import_id));
}

/* -------------------------------------------------------------------- import */

static ag_err
created(struct ag_ctx *ctx, const Ag__KeyImportAsk *ask, const struct spec *spec,
    bool public_only, const ProtobufCBinaryData *der)
{
	Ag__KeyCreatedFact fact = AG__KEY_CREATED_FACT__INIT;
	ag_err err = keys_fill_usage(ctx, &fact, spec, ask->usage, ask->n_usage,
	    public_only);

	if (err != AG_OK)
		return err;
	fact.alias = ask->alias;
	fact.key_spec = ask->key_spec;
	fact.labels = ask->labels;
	fact.n_labels = ask->n_labels;
	fact.origin = (char *)(uintptr_t)"imported";
	fact.has_material = fact.material = !public_only;
	fact.has_public_key_der = der->len > 0;
	fact.public_key_der = *der;
	return keys_persist_created(ctx, &fact);
}

static ag_err
import_public(struct ag_ctx *ctx, const Ag__KeyImportAsk *ask, const struct spec *spec)
{
	ProtobufCBinaryData der = { 0 };
	struct why why = { 0 };
	ag_err err;

	if (spec->kind == SPEC_SYMMETRIC)
		return ag_refuse(ctx, AG_INVALID_FIELD, "wrong_type", "/public_key_pem",
		    "A key of this key_spec has no public half.");
	if ((err = keys_begin_new(ctx)) != AG_OK)
		return err;
	if ((err = public_from_pem(spec, ask->public_key_pem, &der.data, &der.len,
	    &why)) != AG_OK)
		return keys_refuse(ctx, err, &why);
	err = created(ctx, ask, spec, true, &der);
	OPENSSL_free(der.data);
	return err;
}

static ag_err
on_imported(void *state, struct ag_ctx *ctx, ag_err status, const void *msg,
    void *memo)
{
	const Ag__RotGenerateReply *kept = msg;
	const Ag__KeyImportAsk *ask;
	const uint8_t *body;
	size_t len;

	if (status != AG_OK)
		return keys_rot_failed(ctx, status);
	body = ag_body(ctx, &len);
	ask = ag_unpack(ctx, &ag__key_import_ask__descriptor, body, len);
	if (ask == NULL)
		return AG_NO_MEMORY;
	return created(ctx, ask, spec_find(ask->key_spec), false,
	    &kept->public_key_der);
}

static ag_err
import_wrapped(struct ag_ctx *ctx, const Ag__KeyImportAsk *ask)
{
	const Ag__Grant *grant = ag_grant(ctx);
	Ag__RotGenerateAsk rot = AG__ROT_GENERATE_ASK__INIT;
	ag_err err = keys_begin_new(ctx);

	if (err != AG_OK)
		return err;
	rot.tenant = grant->tenant;
	rot.key_id = grant->resource_id;
	rot.version = 1;
	rot.key_spec = ask->key_spec;
	rot.import_id = ask->import_id;
	rot.has_wrapping_algorithm = rot.has_wrapped = true;
	rot.wrapping_algorithm = ask->wrapping_algorithm;
	rot.wrapped = ask->wrapped_key_b64;
	return ag_ask(ctx, ag_slot_named(ctx, "software"), AG_MSG_ROT_GENERATE_ASK,
	    &rot, AG_MSG_ROT_GENERATE_REPLY, ROT_MAKE_TIMEOUT_MS, on_imported, NULL, 0);
}

/* Either a public key or wrapped material, and of the latter all three parts. */
static ag_err
parts_check(struct ag_ctx *ctx, const Ag__KeyImportAsk *ask)
{
	bool wrapped = ask->import_id != NULL || ask->has_wrapping_algorithm ||
	    ask->has_wrapped_key_b64;
	const char *missing = ask->import_id == NULL ? "/import_id" :
	    !ask->has_wrapping_algorithm ? "/wrapping_algorithm" :
	    !ask->has_wrapped_key_b64 ? "/wrapped_key_b64" : NULL;

	if (ask->public_key_pem != NULL && wrapped)
		return ag_refuse(ctx, AG_INVALID_FIELD, "conflicting_fields",
		    "/public_key_pem", "A public key, or wrapped material; not both.");
	if (ask->public_key_pem != NULL || missing == NULL)
		return AG_OK;
	return ag_refuse(ctx, AG_INVALID_FIELD, "missing", missing,
	    "public_key_pem is wanted, or import_id, wrapping_algorithm and wrapped_key_b64.");
}

ag_err
on_key_import(void *state, struct ag_ctx *ctx, const void *msg)
{
	const Ag__KeyImportAsk *ask = msg;
	const struct spec *spec;
	ag_err err;

	if ((err = keys_alias_check(ctx, ask->alias)) != AG_OK ||
	    (err = keys_labels_check(ctx, ask->labels, ask->n_labels, false)) != AG_OK ||
	    (err = keys_spec_check(ctx, ask->key_spec, &spec)) != AG_OK ||
	    (err = parts_check(ctx, ask)) != AG_OK ||
	    (err = keys_usage_check(ctx, spec, ask->usage, ask->n_usage,
	    ask->public_key_pem != NULL && spec->kind != SPEC_SYMMETRIC)) != AG_OK)
		return err;
	ag_note_param(ctx, "key_spec",
	    ag_enum_name(&ag__key_spec__v__descriptor, ask->key_spec));
	return ask->public_key_pem != NULL ? import_public(ctx, ask, spec) :
	    import_wrapped(ctx, ask);
}
