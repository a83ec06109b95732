/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis does for us, each in one piece, by its own clock (TIME). */
#ifndef AEGIS_SHARED_SCRIPTS_H
#define AEGIS_SHARED_SCRIPTS_H

enum script { SCRIPT_TAKE, SCRIPT_ONCE, SCRIPT_BEAT, SCRIPT_COUNT };

extern const char *const scripts[SCRIPT_COUNT];

#endif
