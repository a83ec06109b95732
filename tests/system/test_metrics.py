# SPDX-License-Identifier: Apache-2.0
"""Each metric moves by exactly as much as what is done to it, and what is shown of tenants is bounded."""
import base64
import http.client
import re

from conftest import CONFIG, b64, wait_for

SIGN = {"message_b64": b64(b"x")}
SLOW = dict(CONFIG, limits=dict(CONFIG["limits"], rules=[{"principal": "slow", "rate": 3, "window_s": 600}]))


def metrics(fleet):
    """name → value, all processes together; name{tenant} by itself."""
    found = {}
    for line in fleet.client().get("/metrics").data.decode().splitlines():
        if line.startswith("#") or "_bucket{" in line:
            continue
        name, labels, value = re.match(r"aegis_([a-z0-9_]+)\{([^}]*)\} (\S+)$", line).groups()
        tenant = re.search(r'tenant="([^"]*)"', labels)
        name += "{%s}" % tenant.group(1) if tenant else ""
        found[name] = found.get(name, 0) + float(value)
    return found


def moved(fleet, before):
    now = metrics(fleet)
    return dict((name, value - before.get(name, 0)) for name, value in now.items() if value != before.get(name, 0))


# ----------------------------------------------------------------------- O02

def test_each_moves_by_what_is_done(fresh_fleet):
    fleet = fresh_fleet(SLOW)
    admin = fleet.admin()
    slow = fleet.person("slow")
    robot = admin.ok("POST", "/v1/principals", {"kind": "service", "name": "robot", "roles": ["key-user"]})["id"]
    secret = admin.ok("POST", "/v1/principals/robot/secret")["client_secret"]
    basic = {"Authorization": "Basic " + base64.b64encode((robot + ":" + secret).encode()).decode()}
    keys = [fleet.key(admin, "k%d" % i)["id"] for i in range(3)]

    def good():
        for _ in range(4):
            admin.ok("GET", "/v1/whoami")

    def bad():
        for body in ({"key_spec": "NOPE"}, {"key_spec": "EC_P256", "odd": 1}, {}):
            assert admin.post("/v1/keys", body).status == 400
        assert admin.post("/v1/keys", b"x", headers={"Content-Type": "text/plain"}).status == 415
        assert admin.post("/v1/keys", b"{").status == 400

    def limited():
        assert [slow.get("/v1/whoami").status for _ in range(5)] == [200] * 3 + [429] * 2

    def exchanged():
        for _ in range(2):
            assert fleet.client().post("/v1/token", {"grant_type": "client_credentials"}, headers=basic).status == 201
        assert fleet.client().post("/v1/token", {"grant_type": "x"}, headers=basic).status == 400

    def loaded():
        for key in keys + keys:
            admin.ok("POST", "/v1/keys/%s/sign" % key, SIGN)

    # What is done, and by how much what moves; the reading of /metrics is one request and one answer more.
    for done, wanted in (
            (good, {"rest_requests_total": 5, "rest_answers_2xx_total": 5, "rest_latency_seconds_count": 5,
                    "iam_passed_total": 4, "iam_tenant_passed_total{default}": 4, "iam_token_cache_hits_total": 4}),
            (bad, {"rest_requests_total": 6, "rest_validation_failed_total": 5, "rest_answers_4xx_total": 5,
                   "iam_refused_total": 5, "iam_tenant_refused_total{default}": 5, "rest_answers_2xx_total": 1}),
            (limited, {"iam_limited_total": 2, "rest_answers_4xx_total": 2, "iam_passed_total": 3}),
            (exchanged, {"iam_token_exchanges_total": 2, "rest_validation_failed_total": 1}),
            (loaded, {"key_backend_seconds_count": 3, "key_loads_total": 3, "iam_passed_total": 6}),
    ):
        before = metrics(fleet)
        done()
        got = moved(fleet, before)
        assert {name: got.get(name, 0) for name in wanted} == wanted, (done.__name__, got)
        for name in ("iam_limited_total", "iam_token_exchanges_total", "rest_validation_failed_total",
                     "key_backend_seconds_count", "iam_replays_rejected_total", "rest_unrecorded_total",
                     "rest_timeouts_total", "rest_overloads_total"):
            assert name in wanted or name not in got, (done.__name__, name, got)

    # In flight: as many as there are streams open.
    assert metrics(fleet)["rest_in_flight"] == 0
    streams = []
    for n in range(2):
        stream = http.client.HTTPConnection(admin.host, admin.port, timeout=20)
        stream.request("GET", "/v1/audit/stream", headers={"Authorization": "Bearer " + admin.token})
        streams.append((stream, stream.getresponse()))
        assert streams[-1][1].status == 200
        assert metrics(fleet)["rest_in_flight"] == n + 1
    for stream, answer in streams:
        answer.close()
        stream.close()
    wait_for(lambda: metrics(fleet)["rest_in_flight"] == 0, 30, what="the streams to end")


# ----------------------------------------------------------------------- M01

def test_a_tenant_has_its_row_and_few_have_one(fresh_fleet):
    fleet = fresh_fleet()
    admin = fleet.admin()
    bosses = {}
    for n in range(20):
        name = "tenant-%02d" % n
        made = admin.ok("POST", "/v1/tenants", {"name": name, "admin_name": "boss"})
        bosses[name] = fleet.client(made["admin"]["token"])
    before = metrics(fleet)
    for n, boss in enumerate(bosses.values()):
        for _ in range(n % 3 + 1):
            boss.ok("GET", "/v1/whoami")
        assert boss.post("/v1/keys", {}).status == 400
    got = moved(fleet, before)
    shown = [name for name in metrics(fleet) if name.startswith("iam_tenant_passed_total{")]
    assert 3 < len(shown) <= 16, shown  # bounded, however many tenants there are
    for n, name in enumerate(bosses):
        row = "iam_tenant_passed_total{%s}" % name
        assert row not in got or got[row] == n % 3 + 1, (row, got)
    total = sum(v for k, v in got.items() if k.startswith("iam_tenant_passed_total{"))
    assert total == sum(n % 3 + 1 for n in range(20)) == got["iam_passed_total"]
    assert sum(v for k, v in got.items() if k.startswith("iam_tenant_refused_total{")) == 20
    assert got["iam_tenant_passed_total{other}"] > 0
    # Nobody's name but a tenant's is shown.
    text = fleet.client().get("/metrics").data.decode()
    assert not re.search(r"(hum|agt|svc|key)_[0-9a-f]{32}", text) and "boss" not in text
    assert set(re.findall(r"[{,]([a-z_]+)=", text)) == {"process", "tenant", "le"}
