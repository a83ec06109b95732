# SPDX-License-Identifier: Apache-2.0
"""The Kafka sink against Apache Kafka: the tests of the system, and a broker
killed under 5,000 events a second and more."""
import json
import os
import subprocess

import pytest

from conftest import CONFIG, ROOT, fresh_fleet, wait_for  # noqa: F401
from kafka import Apache
from test_sink_kafka import (has, kafka_fleet, last_id, test_an_outage_under_load_loses_nothing,  # noqa: F401
                             test_the_example_of_the_docs, test_what_a_subscriber_sees)  # noqa: F401


@pytest.fixture
def mock():
    try:
        made = Apache()
    except OSError as error:
        pytest.skip("Apache Kafka's jars are not to be had: %s" % error)
    try:
        yield made.start()
    finally:
        made.leave()


def test_killed_at_many_events_a_second(fresh_fleet, mock, tmp_path):
    fast = dict(CONFIG, limits={"address": {"rate": 0}, "principal": {"rate": 0}})
    fleet = fresh_fleet(dict(fast, sinks=CONFIG["sinks"] + [
        {"name": "bus", "kind": "kafka", "brokers": [mock.brokers], "retry_max_s": 1}]))
    admin = fleet.admin()
    fleet.key(admin, "k")
    (tmp_path / "token").write_text(fleet.token())
    (tmp_path / "body").write_text(json.dumps({"message_b64": "aGk="}))
    load = subprocess.Popen(["wrk", "-t1", "-c32", "-d15s", "-s", os.path.join(ROOT, "bench", "request.lua"), fleet.url,
                             "--", "/v1/keys/k/sign", str(tmp_path / "token"), str(tmp_path / "body")],
                            stdout=subprocess.PIPE, text=True)
    wait_for(lambda: admin.ok("GET", "/v1/sinks/bus")["sent"] > 5000, 60, what="records")
    mock.order("down")
    wait_for(lambda: admin.ok("GET", "/v1/sinks/bus")["state"] == "retrying", 60, what="trouble to be told")
    mock.order("up")
    said = load.communicate()[0]
    n, us = [int(float(w)) for w in next(r for r in said.splitlines() if r.startswith("RESULT ")).split()[1:3]]
    print("%d requests, %d a second" % (n, n / (us / 1e6)))
    records = has(mock, "aegis.audit", last_id(fleet, admin))
    seen, seqs = {}, []
    for _, key, headers, value in records:
        event = json.loads(value)
        if seen.setdefault(event["event_id"], value) != value:
            raise AssertionError("two events with one id")
        if event["tenant"] == "default":
            seqs.append(event["seq"])
    assert set(seqs) == set(range(1, max(seqs) + 1)) and len(seqs) > n
    firsts = list(dict.fromkeys(seqs))
    assert firsts == sorted(firsts), "one person's events, in order"
    print("%d records, %d of them twice" % (len(records), len(records) - len(seen)))
