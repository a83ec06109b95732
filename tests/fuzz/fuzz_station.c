/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a request reaches iam as text: credential, selector, address,
 * If-Match, Idempotency-Key and Aegis-Step-Up, one a line. The first byte says
 * which operation; the credential "A" stands for the admin's. Without it
 * nothing passes, and no step-up is ever taken for done.
 */
#include "../unit/actors/iam_fleet.h"

#include <iam.h>

enum { TEXT_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fleet *f;

static void
begin(void)
{
	struct iam *iam;
	struct iam_node *admin;

	f = fleet_new(NULL);
	key(f, "default", INVOICE, "invoice-2026", NULL, NULL, false);
	iam = ag_kit_state(f->kit);
	admin = iam_principal_find(iam, iam_tenant_find(iam, "default"), "admin");
	/* A second factor that no code fits, and one open challenge. */
	admin->totp = calloc(1, sizeof(*admin->totp));
	admin->totp->confirmed = true;
	strcpy(iam->challenges[0].id, "chl_0190a0000000700080000000deadbeef");
	iam->challenges[0].node = admin;
	iam->challenges[0].expires_at = INT64_MAX;
}

/* The next line, NULL if there is none or it is empty. */
static char *
line(char **rest)
{
	char *at = *rest, *end;

	if (at == NULL)
		return NULL;
	end = strchr(at, '\n');
	*rest = end == NULL ? NULL : end + 1;
	if (end != NULL)
		*end = '\0';
	return at[0] == '\0' ? NULL : at;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t ops[] = { AG_MSG_WHOAMI, AG_MSG_KEY_SIGN,
		AG_MSG_AGENT_READ, AG_MSG_PRINCIPAL_READ };
	char text[TEXT_BYTES + 1], *rest = text;
	Ag__SignAsk ask = sign_ask();
	struct asking a = { 0 };
	struct ended e;
	uint16_t op;
	bool admin;

	if (f == NULL)
		begin();
	if (size < 1 || size > sizeof(text) || memchr(data, '\0', size) != NULL)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	op = ops[data[0] % 4];
	a.token = line(&rest);
	admin = a.token != NULL && strcmp(a.token, "A") == 0;
	if (admin)
		a.token = f->admin;
	a.selector = line(&rest);
	a.address = line(&rest);
	a.if_match = line(&rest);
	a.idem = line(&rest);
	a.step_up = line(&rest);
	ag_kit_advance(f->kit, 20); /* within every limit */
	e = request(f, op, a, op == AG_MSG_KEY_SIGN ? (void *)&ask : NULL);
	if (!admin && (e.passed || e.err == AG_OK))
		abort();
	if (e.grant != NULL && e.grant->step_up != NULL)
		abort();
	if (!e.passed && !e.over)
		abort(); /* nobody answered */
	ended_free(&e);
	return 0;
}
