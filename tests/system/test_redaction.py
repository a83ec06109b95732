# SPDX-License-Identifier: Apache-2.0
"""What looks like a secret, and what the configuration names, is not in the audit log: not in answers, not in
the files, not in a sink."""
import glob
import os

from conftest import CONFIG, wait_for

JWT = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJyZWRhY3Rpb24ifQ.c2lnbmF0dXJl"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
CARD = "4111 1111 1111 1111"


def test_secrets_leave_only_their_hash(fresh_fleet):
    rules = [{"operation": "principal.*", "field": "reason"}, {"field": "client_request_id"}]
    fleet = fresh_fleet(dict(CONFIG, audit={"redact": rules}))
    admin = fleet.admin()
    ua = fleet.event_of(admin, admin.get("/v1/whoami", headers={"User-Agent": "tool/1 %s end" % JWT}))[0]["user_agent"]
    assert ua.startswith("tool/1 [redacted:jwt:") and ua.endswith("] end")

    # Labels and models travel with the agent; reasons with whoever acts.
    agent = fleet.agent(admin, ["agent:self-less:read"], label="for %s" % AWS, model="card %s" % CARD)
    acted = agent.get("/v1/whoami", headers={"User-Agent": JWT, "X-Request-Id": "order-77"})
    event = fleet.event_of(admin, acted)[0]
    assert event["actor"]["label"].startswith("for [redacted:cloud_key:")
    assert event["actor"]["model"].startswith("card [redacted:card:")
    assert event["client_request_id"].startswith("[redacted:rule:")
    # Equal values can still be joined.
    assert event["user_agent"] in ua
    again = agent.get("/v1/whoami", headers={"X-Request-Id": "order-77"})
    assert fleet.event_of(admin, again)[0]["client_request_id"] == event["client_request_id"]

    person = fleet.person("carol")
    admin.ok("POST", "/v1/principals/carol/suspend", {"reason": "her number is 030-1234"})
    person.close()
    everything = repr(fleet.all_events())
    assert "[redacted:jwt:" in everything
    files = glob.glob(os.path.join(fleet.state, "audit", "*.seg")) + [os.path.join(fleet.state, "everything.jsonl")]
    for name in files:
        data = open(name, "rb").read()
        for secret in (JWT, AWS, CARD, "order-77", "030-1234"):
            assert secret.encode() not in data, (name, secret)
    # The same key after a restart.
    fleet.stop()
    fleet.start()
    admin = fleet.admin()
    later = fleet.event_of(admin, admin.get("/v1/whoami", headers={"User-Agent": JWT}))[0]
    assert later["user_agent"] == event["user_agent"]
    verified = fleet.run("audit", "verify", "--dir", os.path.join(fleet.state, "audit"), "--public-key",
                         os.path.join(fleet.state, "audit", "public-key.pem"), check=0)
    assert "events verified" in verified.stdout

    def counted():
        lines = admin.get("/metrics").data.decode().splitlines()
        values = [int(float(line.split()[-1])) for line in lines if line.startswith("aegis_audit_redacted_total")]
        return values and values[0] > 0
    wait_for(counted, what="the counter of redacted values")


def test_a_rule_for_no_field_is_refused(fresh_fleet):
    fleet = fresh_fleet({"audit": {"redact": [{"field": "seq"}]}}, start=False)
    done = fleet.run("config", "check", fleet.config_file)
    assert done.returncode == 2
    assert "audit.redact[].field" in done.stderr and "user_agent" in done.stderr
