/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors: what they are bound to, and that nobody reads or changes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <aegis/kit.h>
#include <aegis/page.h>

#include <stdlib.h>
#include <string.h>

#define PLACE "key_0190a0000000700080000000deadbeef"

static struct ag_page page; /* as it was last read */
static ag_err err;
static char *cursor; /* of the page after it */

static ag_err
on_list(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__KeyListReply reply = AG__KEY_LIST_REPLY__INIT;
	char *next;

	if ((err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	next = ag_page_cursor(ctx, &page, PLACE, strlen(PLACE));
	free(cursor);
	cursor = strdup(next);
	return ag_reply(ctx, ag_type(ctx), &reply);
}

static ag_err
on_agents(void *state, struct ag_ctx *ctx, const void *msg)
{
	Ag__AgentListReply reply = AG__AGENT_LIST_REPLY__INIT;

	if ((err = ag_page_read(ctx, msg, &page)) != AG_OK)
		return err;
	return ag_reply(ctx, ag_type(ctx), &reply);
}

static ag_err
init(void *state, struct ag_ctx *ctx)
{
	return AG_OK;
}

static const struct ag_row rows[] = {
	{ AG_MSG_KEY_LIST, on_list },
	{ AG_MSG_AGENT_LIST, on_agents },
};

static const struct ag_actor lister = {
	.name = "inventory",
	.init = init,
	AG_ROWS(rows),
};

static int
setup(void **state)
{
	*state = ag_kit_new(&lister, NULL, NULL);
	return 0;
}

static int
teardown(void **state)
{
	struct ag_kit *kit = *state;

	ag_kit_free(&kit);
	free(cursor);
	cursor = NULL;
	return 0;
}

static ag_err
keys(struct ag_kit *kit, Ag__KeyListAsk ask, const char *tenant,
    const char *selector)
{
	Ag__Grant grant = AG__GRANT__INIT;

	err = AG_GENERAL_FAILURE;
	grant.tenant = (char *)tenant;
	grant.resource_id = (char *)selector;
	ag_kit_operate(kit, AG_MSG_KEY_LIST, &grant, &ask);
	return err;
}

static const Ag__KeyListAsk all = AG__KEY_LIST_ASK__INIT;

static void
a_page_goes_on(void **state)
{
	Ag__KeyListAsk ask = all;
	char *first;

	assert_int_equal(keys(*state, ask, "default", NULL), AG_OK);
	assert_int_equal(page.limit, AG_PAGE_DEFAULT);
	assert_int_equal(page.place_len, 0);
	ask.cursor = first = strdup(cursor);
	ask.has_limit = true; /* may change from page to page */
	ask.limit = 7;
	assert_int_equal(keys(*state, ask, "default", NULL), AG_OK);
	assert_int_equal(page.limit, 7);
	assert_string_equal((const char *)page.place, PLACE);
	assert_string_not_equal(first, cursor); /* the place is not seen */
	ag_kit_advance(*state, AG_CURSOR_MS - 1);
	assert_int_equal(keys(*state, ask, "default", NULL), AG_OK);
	ag_kit_advance(*state, 1);
	assert_int_equal(keys(*state, ask, "default", NULL), AG_INVALID_FIELD);
	free(first);
}

static void
limits(void **state)
{
	Ag__KeyListAsk ask = all;

	ask.has_limit = true;
	assert_int_equal(keys(*state, ask, "default", NULL), AG_INVALID_FIELD);
	ask.limit = AG_PAGE_MAX + 1;
	assert_int_equal(keys(*state, ask, "default", NULL), AG_INVALID_FIELD);
	ask.limit = AG_PAGE_MAX;
	assert_int_equal(keys(*state, ask, "default", NULL), AG_OK);
}

static void
it_is_bound(void **state)
{
	Ag__AgentListAsk agents = AG__AGENT_LIST_ASK__INIT;
	Ag__Grant grant = AG__GRANT__INIT;
	Ag__KeyListAsk ask = all;
	char *first;

	assert_int_equal(keys(*state, ask, "default", NULL), AG_OK);
	ask.cursor = first = strdup(cursor);
	assert_int_equal(keys(*state, ask, "acme", NULL), AG_INVALID_FIELD);
	assert_int_equal(keys(*state, ask, "default", "x"), AG_INVALID_FIELD);
	ask.label = (char *)"a=b";
	assert_int_equal(keys(*state, ask, "default", NULL), AG_INVALID_FIELD);
	agents.cursor = first;
	grant.tenant = (char *)"default";
	ag_kit_operate(*state, AG_MSG_AGENT_LIST, &grant, &agents);
	assert_int_equal(err, AG_INVALID_FIELD);
	ask = all;
	ask.cursor = first;
	assert_int_equal(keys(*state, ask, "default", NULL), AG_OK);
	free(first);
}

/* Every changed character, every length. */
static void
it_cannot_be_changed(void **state)
{
	Ag__KeyListAsk ask = all;
	char *first, was;
	size_t len;

	assert_int_equal(keys(*state, ask, "default", NULL), AG_OK);
	ask.cursor = first = strdup(cursor);
	len = strlen(first);
	for (size_t i = 0; i < len; i++) {
		was = first[i];
		first[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(keys(*state, ask, "default", NULL),
		    AG_INVALID_FIELD);
		first[i] = was;
	}
	for (size_t i = len; i-- > 0;) {
		first[i] = '\0';
		assert_int_equal(keys(*state, ask, "default", NULL),
		    AG_INVALID_FIELD);
	}
	free(first);
	ask.cursor = first = malloc(4097);
	memset(first, 'A', 4096);
	first[4096] = '\0';
	assert_int_equal(keys(*state, ask, "default", NULL), AG_INVALID_FIELD);
	free(first);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_page_goes_on), T(limits), T(it_is_bound),
		T(it_cannot_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
