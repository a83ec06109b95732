/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iam: a token that it has verified before, of an agent below an agent below
 * a person: hash, cache, and whether the whole chain stands.
 */
#include "iam.h"
#include "reach.h"
#include "turns.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENS = 4096, TOKEN_BYTES = 700 };

static struct iam_cache cache;
static struct iam_tenant tenant = { .name = "default", .active = true };
static struct iam_node person, agent, nodes[TOKENS];
static char texts[TOKENS][TOKEN_BYTES];
static int64_t far_away = INT64_C(4102444800000);
static uint64_t stood;

static void
stands(struct iam_node *node, struct iam_node *parent, struct iam_token *token)
{
	node->tenant = &tenant;
	node->parent = parent;
	node->root = parent == NULL ? node : parent->root;
	node->state = IAM_LIVE;
	node->token.expires_at = far_away;
	token->node = node;
	token->expires_at = far_away;
}

static void
turn(void *arg, unsigned n)
{
	const char *text = texts[n * 2654435761u % TOKENS];
	struct iam_token *token;
	uint8_t hash[32];

	(void)arg;
	ag_sha256(text, TOKEN_BYTES, hash);
	token = iam_cache_get(&cache, hash, 1);
	if (token != NULL && iam_standing(token->node, 1) == IAM_STANDS)
		stood++;
}

int
main(void)
{
	uint8_t hash[32];

	if (iam_cache_init(&cache) != AG_OK)
		return 1;
	stands(&person, NULL, &person.token);
	stands(&agent, &person, &agent.token);
	for (unsigned i = 0; i < TOKENS; i++) {
		stands(&nodes[i], &agent, &nodes[i].token);
		memset(texts[i], 'a', TOKEN_BYTES);
		memcpy(texts[i], &i, sizeof(i));
		ag_sha256(texts[i], TOKEN_BYTES, hash);
		iam_cache_put(&cache, hash, &nodes[i].token, far_away);
	}
	turns_measure(turn, NULL);
	return stood == (uint64_t)TURNS_A_RUN * RUNS ? 0 : 1;
}
