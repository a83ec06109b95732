# SPDX-License-Identifier: Apache-2.0
"""Detection across nodes: two nodes, one journal, one topic (librdkafka's mock
cluster; tests/interop has Apache Kafka). Who spreads what it does over the
nodes is found by what neither of them sees alone."""
import pytest

from conftest import CONFIG, Fleet, wait_for
from servers import Postgres
from test_sink_kafka import Mock

PASSWORD = "a password of the journal"
TOPIC = "aegis.events"
# As many refusals on each node as no detector minds, together more than that.
QUIET, LOW = 7, 10


@pytest.fixture(scope="module")
def mock():
    made = Mock(TOPIC)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def nodes(mock, tmp_path_factory):
    database, made = Postgres(PASSWORD), []
    try:
        database.start()
        secret = tmp_path_factory.mktemp("across") / "password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        brokers = mock.brokers.split(",")
        config = dict(
            CONFIG, journal={"kind": "postgres", "postgres": {"url": database.url, "password_file": str(secret)}},
            across={"enabled": True, "brokers": brokers, "topic": TOPIC},
            anomaly={"refusal_burst": {"low": LOW, "medium": 100, "high": 200, "window_s": 300},
                     "scope_violation": {"enabled": False}},
            sinks=CONFIG["sinks"] + [{"name": "bus", "kind": "kafka", "brokers": brokers, "topic": TOPIC,
                                      "format": "protobuf", "retry_max_s": 1}])
        for _ in range(2):
            made.append(Fleet(config=config))
            made[-1].start()
        made[1].run("admin-token", "--out", made[1].state + "/admin.token", check=0)
        wait_for(lambda: sum(partitions(n) for n in made) >= 4 and all(partitions(n) for n in made), 60, 0.1,
                 "both to have partitions")
        yield made
    finally:
        for fleet in made:
            fleet.leave()
        database.leave()


def metric(node, name):
    text = node.admin().get("/metrics").data.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("aegis_" + name))


def partitions(node):
    return metric(node, "across_partitions")


def refused(who, count):
    for _ in range(count):
        assert who.get("/v1/keys").status == 403


def found(node, *actors):
    return [r for r in node.admin().items("/v1/recommendations?limit=100")
            if r["detector"] == "refusal_burst" and r["actor"] in actors]


def service(nodes, name):
    """Who may do nothing, with a credential of each node."""
    admin = nodes[0].admin()
    made = admin.ok("POST", "/v1/principals", {"kind": "service", "name": name})

    def token(node):
        got = node.admin().post("/v1/principals/%s/tokens" % name, {})
        return got.json["token"] if got.status in (200, 201) else None
    return made["id"], [n.client(wait_for(lambda n=n: token(n), 30, what="a token")) for n in nodes]


def test_misuse_that_is_spread_over_nodes_is_found_once(nodes):
    id, (here, there) = service(nodes, "spread")
    own = [metric(n, "anomaly_detections_total") for n in nodes]
    both = sum(metric(n, "across_detections_total") for n in nodes)
    refused(here, QUIET)
    refused(there, QUIET)
    (one,) = wait_for(lambda: found(nodes[0], id), 60, 0.1, "it to be found")
    assert one["severity"] == "low"
    assert [r["id"] for r in wait_for(lambda: found(nodes[1], id), 30, 0.1, "the other node to know")] == [one["id"]]
    assert sum(metric(n, "across_detections_total") for n in nodes) > both
    assert [metric(n, "anomaly_detections_total") for n in nodes] == own
    # What one node finds by itself, too, is the same recommendation.
    other, (alone, _) = service(nodes, "alone")
    refused(alone, LOW + 2)
    wait_for(lambda: sum(metric(n, "across_detections_total") for n in nodes) >= both + 2 and
             metric(nodes[0], "anomaly_detections_total") == own[0] + 1, 60, 0.1, "it to be found twice")
    wait_for(lambda: metric(nodes[0], "across_pending") + metric(nodes[1], "across_pending") == 0, 60, 0.1,
             "all to be settled")
    assert sorted(r["actor"] for r in found(nodes[0], id, other)) == sorted([id, other])


def test_a_dead_kafka_costs_only_this(nodes, mock):
    mock.order("down")
    try:
        def away():
            health = nodes[0].admin().get("/healthz/ready").json
            return health["status"] == "degraded" and "Kafka" in str(health)
        wait_for(away, 60, 0.2, "the trouble to be told")
        id, (here, _) = service(nodes, "meanwhile")
        refused(here, LOW + 2)
        (one,) = wait_for(lambda: found(nodes[0], id), 30, 0.1, "the node's own detection")
        assert one["severity"] == "low"
    finally:
        mock.order("up")
    wait_for(lambda: "Kafka" not in str(nodes[0].admin().get("/healthz/ready").json), 60, 0.2, "the trouble to end")
