/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <aegis/event.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What makes an event long is left out, so that its line stays whole JSON. */
static ag_err
short_line(const Ag__Event *event, char **line)
{
	Ag__Event brief = *event;
	Ag__Pair cut = AG__PAIR__INIT, *params = &cut;

	cut.key = (char *)"cut";
	cut.value = (char *)"true";
	brief.n_params = 1;
	brief.params = &params;
	brief.n_chain = 0;
	brief.user_agent = NULL;
	return ag_event_json(&brief, line);
}

ag_err
line_of(const Ag__Event *event, char **line, size_t *len)
{
	ag_err err = ag_event_json(event, line);

	if (err == AG_OK && strlen(*line) + 1 > LINE_BYTES_MAX) {
		free(*line);
		err = short_line(event, line);
	}
	if (err != AG_OK)
		return err;
	*len = strlen(*line) + 1;
	/* The NUL's place is the newline's: the length says where it ends. */
	(*line)[*len - 1] = '\n';
	return AG_OK;
}

ag_err
line_of_item(const struct feed_item *item, char **line, size_t *len)
{
	Ag__Event *event = feed_event(item);
	ag_err err = event == NULL ? AG_NO_MEMORY : line_of(event, line, len);

	feed_event_free(event);
	return err;
}

void
line_free(char *line)
{
	free(line);
}

ag_err
line_write(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return AG_IO;
		bytes += n;
		len -= (size_t)n;
	}
	return AG_OK;
}
