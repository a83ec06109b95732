/* SPDX-License-Identifier: Apache-2.0 */
/* The topics sink: topic, then the event's bytes without the house's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include <aegis/kit.h>

extern const struct ag_actor ag_actor_topics;

static void
deliver(struct ag_kit *kit, unsigned n)
{
	Ag__Event e = AG__EVENT__INIT;

	e.event_id = (char *)"evt_0";
	e.seq = n;
	e.tenant = (char *)"default";
	e.event_type = AG__EVENT_TYPE__V__request;
	e.operation = (char *)"key.sign";
	e.outcome = AG__OUTCOME_KIND__V__denied;
	e.has_honey = e.honey = 1;
	e.reason = (char *)"not shown";
	assert_int_equal(ag_kit_audit(kit, &e, n), AG_OK);
}

static void
publishes(void **state)
{
	struct ag_kit *kit = ag_kit_new(&ag_actor_topics, NULL, NULL);
	void *zmq = zmq_ctx_new(), *sub = zmq_socket(zmq, ZMQ_SUB);
	char endpoint[256], topic[64];
	uint8_t bytes[1024];
	int wait_ms = 100, linger = 0, n = -1, len;
	Ag__Event *e;

	snprintf(endpoint, sizeof(endpoint), "ipc://%s/topics.sock",
	    ag_run_dir(ag_kit_ctx(kit)));
	zmq_setsockopt(sub, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
	zmq_setsockopt(sub, ZMQ_LINGER, &linger, sizeof(linger));
	zmq_setsockopt(sub, ZMQ_SUBSCRIBE, "audit.default.key.", 18);
	assert_int_equal(zmq_connect(sub, endpoint), 0);
	/* A subscription takes a moment: published until it is heard. */
	for (unsigned i = 1; i < 100 && n < 0; i++) {
		deliver(kit, i);
		n = zmq_recv(sub, topic, sizeof(topic), 0);
	}
	assert_int_equal(n, (int)strlen("audit.default.key.sign"));
	assert_memory_equal(topic, "audit.default.key.sign", (size_t)n);
	len = zmq_recv(sub, bytes, sizeof(bytes), 0);
	assert_true(len > 0);
	e = ag__event__unpack(NULL, (size_t)len, bytes);
	assert_non_null(e);
	assert_true(e->seq >= 1);
	assert_false(e->has_honey);
	assert_null(e->reason);
	ag__event__free_unpacked(e, NULL);
	zmq_close(sub);
	zmq_ctx_term(zmq);
	ag_kit_free(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publishes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
