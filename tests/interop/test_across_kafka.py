# SPDX-License-Identifier: Apache-2.0
"""Detection across nodes over Apache Kafka: the tests of the system, and what
the mock cluster cannot: a member that dies, and counts again what was in the
window."""
import os
import signal

import pytest

from conftest import wait_for
from kafka import Apache
from test_across import (QUIET, TOPIC, found, metric, nodes, refused, service,  # noqa: F401
                         test_a_dead_kafka_costs_only_this, test_misuse_that_is_spread_over_nodes_is_found_once)  # noqa: F401


@pytest.fixture(scope="module")
def mock():
    try:
        made = Apache(TOPIC)
    except OSError as error:
        pytest.skip("Apache Kafka's jars are not to be had: %s" % error)
    try:
        yield made.start()
    finally:
        made.leave()


def test_a_member_that_dies_forgets_nothing(nodes):  # noqa: F811
    id, (here, there) = service(nodes, "dies")
    before = sum(metric(n, "across_events_total") for n in nodes)
    refused(here, QUIET)
    wait_for(lambda: sum(metric(n, "across_events_total") for n in nodes) >= before + QUIET, 60, 0.1, "them to be counted")
    for node in nodes:
        pid = node.processes()["across"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda n=node, p=pid: n.processes().get("across", 0) not in (0, p), 30, 0.1, "another one")
    refused(there, QUIET)
    (one,) = wait_for(lambda: found(nodes[0], id), 90, 0.2, "it to be found")
    assert one["severity"] == "low"
