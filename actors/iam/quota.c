/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one tenant may have of the tables that all tenants share. Every tenant
 * has a share of each table that nobody else can take; what is beyond the
 * shares is common, up to the tenant's quota. So whatever one tenant does,
 * another one can still do what its share allows, and sees nothing of it.
 *
 * Asked before something is made. What is being made at that moment is not
 * counted yet: a quota can be passed by the requests in flight, the tables
 * have room for these.
 */
#include "iam.h"

enum {
	SHARE_PRINCIPALS = 64, SHARE_AGENTS = 128, SHARE_TOKENS = 128,
	SHARE_KEYS = 128,
	RETRY_ENDING_S = 60,  /* agents and tokens end by themselves */
	RETRY_FOR_EVER_S = 3600, /* principals and keys do not */
};

static const struct {
	const char *path, *what;
	unsigned max, share, retry_s;
} pools[IAM_COUNTS] = {
	[IAM_C_PRINCIPALS] = { "limits.tenant.principals", "principals",
	    IAM_PRINCIPALS_MAX, SHARE_PRINCIPALS, RETRY_FOR_EVER_S },
	[IAM_C_AGENTS] = { "limits.tenant.agents", "agents", IAM_AGENTS_MAX,
	    SHARE_AGENTS, RETRY_ENDING_S },
	[IAM_C_TOKENS] = { "limits.tenant.tokens", "tokens",
	    IAM_PRINCIPAL_TOKENS_MAX, SHARE_TOKENS, RETRY_ENDING_S },
	[IAM_C_KEYS] = { "limits.tenant.keys", "keys", IAM_KEYS_MAX, SHARE_KEYS,
	    RETRY_FOR_EVER_S },
};

void
iam_quota_init(struct iam *iam, struct ag_ctx *ctx)
{
	for (unsigned i = 0; i < IAM_COUNTS; i++)
		iam->quota[i] = (unsigned)ag_config_int(ctx, pools[i].path);
}

void
iam_quota_count(struct iam *iam, struct iam_tenant *tenant, enum iam_count what,
    bool more)
{
	unsigned share = pools[what].share;

	if (more && ++tenant->used[what] > share)
		iam->common[what]++;
	else if (!more && tenant->used[what]-- > share)
		iam->common[what]--;
}

bool
iam_quota_room(const struct iam *iam, const struct iam_tenant *tenant,
    enum iam_count what)
{
	unsigned common_max = pools[what].max - AG_PENDING_MAX -
	    IAM_TENANTS_MAX * pools[what].share;

	if (tenant->used[what] >= iam->quota[what])
		return false;
	return tenant->used[what] < pools[what].share ||
	    iam->common[what] < common_max;
}

ag_err
iam_quota_refuse(struct ag_ctx *ctx, enum iam_count what)
{
	ag_refuse_retry(ctx, pools[what].retry_s);
	ag_refuse_hint(ctx, what == IAM_C_AGENTS ? "Revoke agents that are not "
	    "needed, or let them expire; limits.tenant.agents says how many." :
	    what == IAM_C_TOKENS ? "Revoke tokens that are not needed, or let "
	    "them expire; limits.tenant.tokens says how many." :
	    "The operator sets limits.tenant.*.");
	return ag_refuse(ctx, AG_RATE_LIMITED, "account", NULL,
	    "The tenant has as many %s as it may have.", pools[what].what);
}

ag_err
iam_quota_check(const struct iam *iam, struct ag_ctx *ctx,
    const struct iam_tenant *tenant, enum iam_count what)
{
	return iam_quota_room(iam, tenant, what) ? AG_OK :
	    iam_quota_refuse(ctx, what);
}
