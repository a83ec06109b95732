/* SPDX-License-Identifier: Apache-2.0 */
/* All that an actor, plane, sink or root of trust may know. */
#ifndef AEGIS_AEGIS_H
#define AEGIS_AEGIS_H

#include <aegis/actor.h>

#endif
