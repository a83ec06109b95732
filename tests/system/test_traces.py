# SPDX-License-Identifier: Apache-2.0
"""Traces: one for each request that is traced, with a span for every process
that it passed, at a collector that takes OTLP."""
import base64
import json

from conftest import CONFIG, b64, wait_for
from test_sink_http import receiver, secret  # noqa: F401

PARENT = "b7ad6b7169203331"
WORDS = ("traceId", "spanId", "parentSpanId", "name", "kind", "attributes", "startTimeUnixNano", "endTimeUnixNano",
         "status")


def traced(fresh_fleet, receiver, tmp_path, **more):
    token = secret(tmp_path, b"a token of the collector\n")
    fleet = fresh_fleet(dict(CONFIG, tracing=dict(enabled=True, **more), sinks=CONFIG["sinks"] + [
        {"name": "jaeger", "kind": "traces", "url": receiver.url("/v1/traces"), "ca_file": receiver.cert,
         "token_file": token}]))
    return fleet, fleet.admin()


def spans(receiver, trace):
    """Of one trace, in the order of their begin."""
    found = [s for path, _, body in list(receiver.got) if path == "/v1/traces"
             for r in json.loads(body)["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]
    return sorted((s for s in found if s["traceId"] == trace), key=lambda s: int(s["startTimeUnixNano"]))


def arrived(receiver, trace):
    return wait_for(lambda: spans(receiver, trace), 60, what="the trace " + trace)


def said(span):
    return dict((a["key"], a["value"]["stringValue"]) for a in span["attributes"])


def check(found, parent):
    """Every span is within the one that it belongs to, and one is the whole. By name, which are the rest."""
    ids = dict((s["spanId"], s) for s in found)
    assert len(ids) == len(found)
    (whole,) = [s for s in found if s.get("parentSpanId") == parent]
    for span in found:
        assert set(span) <= set(WORDS)
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        if span is not whole:
            above = ids[span["parentSpanId"]]
            assert int(above["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
            assert int(span["endTimeUnixNano"]) <= int(above["endTimeUnixNano"])
    return whole, dict((s["name"], s) for s in found if s is not whole)


def test_a_request_is_one_trace(fresh_fleet, receiver, tmp_path):
    fleet, admin = traced(fresh_fleet, receiver, tmp_path)
    key = fleet.key(admin, "traced")
    trace, secret_words = "0af7651916cd43dd8448eb211c80319c", b"nobody's business"
    got = admin.post("/v1/keys/traced/sign", {"message_b64": b64(secret_words)},
                     headers={"traceparent": "00-%s-%s-01" % (trace, PARENT)})
    assert got.status == 200
    version, same, own, flags = got.headers["traceparent"].split("-")
    assert (version, same, flags) == ("00", trace, "01")
    (event,) = fleet.event_of(admin, got)
    assert event["trace_id"] == trace and "spans" not in event and "parent_id" not in event

    found = arrived(receiver, trace)
    whole, stations = check(found, PARENT)
    assert whole["name"] == "rest key.sign" and whole["spanId"] == own and whole["kind"] == 2
    assert {"iam", "risk", "keys", "audit"} <= set(stations)
    order = [stations[name] for name in ("iam", "risk", "keys", "audit")]
    assert all(s["parentSpanId"] == own for s in order)
    assert all(int(a["endTimeUnixNano"]) <= int(b["startTimeUnixNano"]) for a, b in zip(order, order[1:]))
    # The key was new, so its shard asked the root of trust for it.
    assert stations["software"]["parentSpanId"] == stations["keys"]["spanId"] and stations["software"]["kind"] == 3
    assert said(whole)["aegis.event_id"] == event["event_id"] and said(whole)["aegis.operation"] == "key.sign"
    assert said(stations["keys"])["aegis.process"].startswith("keys.")
    # What was asked for and with what is in none of it.
    (headers,) = [h for path, h, body in receiver.got if trace.encode() in body]
    assert headers["Authorization"] == "Bearer a token of the collector"
    everything = b"".join(body for _, _, body in receiver.got)
    for word in (base64.b64encode(secret_words), secret_words, got.json["signature_b64"].encode(),
                 admin.token.encode(), key["id"].encode(), b"traced"):
        assert word not in everything


def test_a_change_waits_for_the_journal(fresh_fleet, receiver, tmp_path):
    fleet, admin = traced(fresh_fleet, receiver, tmp_path)
    made = admin.post("/v1/keys", {"key_spec": "EC_P256", "activate": True})
    assert made.status == 201
    version, trace, own, flags = made.headers["traceparent"].split("-")
    assert trace == made.headers["x-request-id"].replace("-", "") and flags == "01"
    whole, stations = check(arrived(receiver, trace), None)
    assert whole["spanId"] == own and whole["name"] == "rest key.create"
    assert {"iam", "risk", "keys", "journal", "software", "audit"} <= set(stations)
    assert stations["journal"]["parentSpanId"] == stations["keys"]["spanId"]
    # What iam refuses ends there; what the plane refuses, before.
    refused = admin.request("POST", "/v1/keys/nobody/sign", {"message_b64": ""})
    assert refused.status == 404
    whole, stations = check(arrived(receiver, refused.headers["traceparent"].split("-")[1]), None)
    assert set(stations) == {"iam", "audit"} and said(whole)["aegis.code"] == "ItemNotFound"
    nowhere = admin.get("/v1/nowhere")
    whole, stations = check(arrived(receiver, nowhere.headers["traceparent"].split("-")[1]), None)
    assert nowhere.status == 404 and not stations and "status" not in whole


def test_who_is_not_asked_leaves_none(fresh_fleet, receiver, tmp_path):
    fleet, admin = traced(fresh_fleet, receiver, tmp_path, sample=0)
    flag = "00-0af7651916cd43dd8448eb211c80319%s-" + PARENT + "-%s"
    not_wanted = admin.get("/v1/whoami", headers={"traceparent": flag % ("a", "00")})
    assert not_wanted.headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319a-")
    assert "traceparent" not in admin.get("/v1/whoami").headers
    broken = admin.get("/v1/whoami", headers={"traceparent": flag % ("g", "01")})
    assert "traceparent" not in broken.headers
    wanted = admin.get("/v1/whoami", headers={"traceparent": flag % ("b", "01")})
    assert wanted.status == 200
    arrived(receiver, "0af7651916cd43dd8448eb211c80319b")
    # Events are sent in order: of what came before, there is nothing.
    names = {s["traceId"] for path, _, body in receiver.got
             for r in json.loads(body)["resourceSpans"] for s in r["scopeSpans"][0]["spans"]}
    assert names == {"0af7651916cd43dd8448eb211c80319b"}
