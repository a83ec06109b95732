/* SPDX-License-Identifier: Apache-2.0 */
/* What a sink's own row of the configuration says. */
#include "feed.h"

#include <stdio.h>

static void
option_path(char out[64], const char *member)
{
	snprintf(out, 64, "sinks[].%s", member);
}

const char *
feed_option(struct feed *feed, const char *member)
{
	char path[64];

	option_path(path, member);
	return ag_config_str(feed_ctx(feed), path, ag_index(feed_ctx(feed)));
}

int64_t
feed_option_int(struct feed *feed, const char *member)
{
	char path[64];

	option_path(path, member);
	return ag_config_get_int(ag_config(feed_ctx(feed)), path,
	    ag_index(feed_ctx(feed)));
}

ag_err
feed_path(struct feed *feed, const char *path, char out[FEED_PATH_MAX])
{
	bool absolute = path[0] == '/';
	int n = snprintf(out, FEED_PATH_MAX, "%s%s%s",
	    absolute ? "" : ag_state_dir(feed_ctx(feed)), absolute ? "" : "/", path);

	return n < 0 || n >= FEED_PATH_MAX ? AG_USAGE : AG_OK;
}

ag_err
feed_secret(struct feed *feed, const char *member, struct ag_secret **out)
{
	const char *given = feed_option(feed, member), *why;
	char path[FEED_PATH_MAX];
	ag_err err;

	*out = NULL;
	if (given == NULL)
		return AG_OK;
	if ((err = feed_path(feed, given, path)) != AG_OK)
		return err;
	if ((why = ag_secret_read(path, out)) == NULL)
		return AG_OK;
	ag_log(feed_ctx(feed), AG_ERROR, "SINK-SECRET", "member=%s file=%s why=%s",
	    member, path, why);
	return AG_USAGE;
}
