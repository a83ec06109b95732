/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept: baselines between memory and the store.
 */
#include "kept.h"

#include <string.h>

void
risk_keep(const struct risk_baseline *usual, const uint16_t types[RISK_OPS],
    struct risk_kept *out)
{
	out->usual = *usual;
	memcpy(out->types, types, sizeof(out->types));
}

static unsigned
position(const uint16_t types[RISK_OPS], uint16_t type)
{
	unsigned i = 0;

	while (i < RISK_OPS && types[i] != type)
		i++;
	return i;
}

bool
risk_unkeep(const struct risk_kept *kept, const uint16_t types[RISK_OPS],
    struct risk_baseline *out)
{
	if (kept->usual.version != RISK_BASELINE_VERSION)
		return false;
	*out = kept->usual;
	memset(out->ops, 0, sizeof(out->ops));
	out->op_total = 0;
	for (unsigned i = 0; i < RISK_OPS; i++) {
		/* Others are the last's: there is no telling which they were. */
		unsigned to = kept->types[i] == 0 ? RISK_OPS - 1 :
		    position(types, kept->types[i]);
		uint32_t sum;

		if (to == RISK_OPS || kept->usual.ops[i] == 0)
			continue;
		sum = (uint32_t)out->ops[to] + kept->usual.ops[i];
		out->ops[to] = sum > UINT16_MAX ? UINT16_MAX : (uint16_t)sum;
	}
	for (unsigned i = 0; i < RISK_OPS; i++)
		out->op_total += out->ops[i];
	return true;
}
