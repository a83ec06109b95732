# SPDX-License-Identifier: Apache-2.0
"""What people must agree to, asked over MCP: the host leads somebody to a page and comes again with a state that is good
once, for this caller and this call."""
import datetime
import json

import pytest

from conftest import Client, Fleet, b64, wait_for
from mcp_client import CONFIG_MCP, Mcp, McpThen
from tool_server import ToolServer, text, tool

LEADS = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}, "url": {}}}}
PAGE = "https://aegis.example/approvals/"
POLICY = """permit (principal, action, resource);
@id("pay") @approval("leads")
permit (principal is Aegis::Agent, action == Aegis::Action::"key.decrypt", resource);
@id("purge") @approval("leads")
permit (principal, action == Aegis::Action::"tool.call", resource == Aegis::Tool::"box/purge");
"""


@pytest.fixture(scope="module")
def house():
    box = ToolServer([tool("purge"), tool("get")])
    config = json.loads(json.dumps(CONFIG_MCP))
    config["mcp"]["approvals_url"] = PAGE
    fleet = Fleet(config=dict(config, approvals={"second_factor": False, "ttl_s": 600}, gateway={
        "enabled": True, "refresh_s": 1, "servers": [{"name": "box", "url": box.url}],
        "tools": [{"tool": "box/purge", "risk": "destructive", "allow": True}]},
        grants={"rules": [{"scope": "key:spare:*", "ttl_max_s": 1800}]}, audit={"prompts": "text"}))
    try:
        fleet.start()
        fleet.root, fleet.box = fleet.admin(), box
        fleet.root.ok("PUT", "/v1/roles/leads", {"scopes": ["system:*:approve"]})
        fleet.alice = fleet.person("alice", roles=("leads",))
        fleet.key(fleet.root, "pay", spec="AES_256")
        fleet.root.ok("PUT", "/v1/policies/main", {"text": POLICY})
        fleet.clerk = fleet.agent(fleet.root, ["key:pay:decrypt", "tool:label=server=box:call"], "clerk", ttl_s=86400)
        yield fleet
    finally:
        fleet.leave()
        box.leave()


@pytest.fixture
def ask(house):
    """A request that nobody has decided on: the parameters of tools/call."""
    words = house.root.ok("POST", "/v1/keys/pay/encrypt", {"plaintext_b64": b64(b"salaries")})["ciphertext_b64"]
    return {"name": "decrypt", "arguments": {"key": "pay", "ciphertext_b64": words}}


def led(got):
    """(approval, requestState) of an answer that leads a person to a page."""
    result = got.json["result"]
    assert got.status == 200 and result["resultType"] == "input_required" and set(result) == {
        "resultType", "inputRequests", "requestState"}, got
    (asked,) = result["inputRequests"].values()
    assert asked["method"] == "elicitation/create" and asked["params"]["mode"] == "url"
    apr = asked["params"]["elicitationId"]
    assert asked["params"]["url"] == PAGE + apr and apr.startswith("apr_")
    return apr, result["requestState"]


def again(who, ask, state, **more):
    return who.ask("tools/call", dict(ask, requestState=state, inputResponses={"approval": {"action": "accept"}}, **more),
                   meta=LEADS)


def approve(house, apr):
    assert house.alice.ok("POST", "/v1/approvals/%s/approve" % apr, {"comment": "fine"})["state"] == "approved"


def plain(got):
    return got.json["result"]["structuredContent"]


def test_a_person_is_led_there_and_the_call_goes_on(house, ask):
    who = Mcp(house, house.clerk.token)
    first = who.ask("tools/call", ask, meta=LEADS)
    apr, state = led(first)
    event, = house.event_of(house.root, first)
    assert (event["outcome"], event["code"], event["params"]["approval_id"]) == ("denied", "ApprovalRequired", apr)
    # Come again too early, and there is another state for the same approval.
    other, second = led(again(who, ask, state))
    assert other == apr and second != state
    approve(house, apr)
    done = again(who, ask, second)
    assert plain(done)["plaintext_b64"] == b64(b"salaries")
    event, = house.event_of(house.root, done)
    assert event["outcome"] == "allowed" and event["params"]["approval"] == apr and event["operation"] == "key.decrypt"


def test_an_agreed_call_only_has_to_come_again(house, ask):
    who = Mcp(house, house.clerk.token)
    apr, _ = led(who.ask("tools/call", ask, meta=LEADS))
    approve(house, apr)
    result = who.ask("tools/call", ask).json["result"]
    assert set(result) == {"resultType", "requestState"} and result["resultType"] == "input_required"
    assert plain(who.ask("tools/call", dict(ask, requestState=result["requestState"])))["plaintext_b64"]


def test_states_that_are_not_good(house, ask):
    """Tampered, replayed, expired, another caller, other arguments: one answer outside, each by its name in the log."""
    who, twin = Mcp(house, house.clerk.token), Mcp(house, house.agent(house.root, ["key:pay:decrypt"], "twin").token)
    twin.n = who.n
    apr, state = led(who.ask("tools/call", ask, meta=LEADS))
    flipped = state[:-1] + ("A" if state[-1] != "A" else "B")
    other = dict(ask, arguments=dict(ask["arguments"], ciphertext_b64=b64(b"x" * 64)))
    bad = [("state_tampered", who, ask, flipped), ("state_tampered", who, ask, "nonsense"), ("state_tampered", who, ask, ""),
           ("state_other_caller", twin, ask, state), ("state_other_arguments", who, other, state),
           ("state_other_arguments", who, dict(ask, name="box__get"), state)]
    led(again(who, ask, state))
    bad.append(("state_replayed", who, ask, state))
    _, late = led(who.ask("tools/call", ask, meta=LEADS))
    said = []

    def check(reason, by, what, with_state):
        got = again(by, what, with_state)
        error = got.json["error"]
        said.append((got.status, error["code"], error["message"], error["data"]["reason_code"], error["data"]["field"]))
        event, = house.event_of(house.root, got)
        assert event["reason_code"] == reason and event["outcome"] == "failed", event
    for row in bad:
        check(*row)
    house.move_clock(700)
    floor = house.now() - 5

    def moved():  # for the plane that opens states: it says when it was asked
        (event,) = house.event_of(house.root, who.ask("tools/list"))
        return datetime.datetime.fromisoformat(event["occurred_at"].replace("Z", "+00:00")).timestamp() >= floor
    wait_for(moved, what="the clock")
    check("state_expired", who, ask, late)
    assert set(said) == {(200, -32602, "this state is not good for this request", "unknown_value", "/params/requestState")}


def test_hosts_that_cannot_lead(house, ask):
    """Without the capability, and in the older era: a refusal that names the approval; _meta brings it."""
    for who in (Mcp(house, house.clerk.token), McpThen(house, house.clerk.token)):
        got = who.ask("tools/call", ask)
        problem = json.loads(got.json["result"]["content"][0]["text"])
        assert got.json["result"]["isError"] is True and problem["code"] == "ApprovalRequired"
        assert problem["reason_code"] == "pending" and problem["approval_id"].startswith("apr_") and problem["hint"]
    approve(house, problem["approval_id"])
    old = McpThen(house, house.clerk.token)
    done = old.ask("tools/call", dict(ask, _meta={"io.aegis/approval": problem["approval_id"]}))
    assert plain(done)["plaintext_b64"] == b64(b"salaries")
    done = old.ask("tools/call", dict(ask, _meta={"io.aegis/approval": problem["approval_id"]}))
    assert json.loads(done.json["result"]["content"][0]["text"])["reason_code"] == "used"


def test_a_destructive_tool_of_another_server(house):
    """People agree to one call with these arguments, in whatever order they are said."""
    who = Mcp(house, house.clerk.token)
    ask = {"name": "box__get", "arguments": {}}
    assert who.ok("tools/call", ask)["isError"] is False
    ask = {"name": "box__purge", "arguments": {}}
    apr, state = led(who.ask("tools/call", ask, meta=LEADS))
    assert not [c for c in house.box.calls if c[0] == "purge"]
    shown = house.alice.ok("GET", "/v1/approvals/" + apr)
    assert shown["operation"] == "tool.call" and shown["resource"]["id"] == "box/purge"
    approve(house, apr)
    house.box.answer = lambda name, arguments: text("purged")
    done = again(who, ask, state)
    assert done.json["result"]["content"] == [{"type": "text", "text": "purged"}]
    event, = house.event_of(house.root, done)
    assert event["params"]["approval"] == apr and event["params"]["risk"] == "destructive"
    assert len([c for c in house.box.calls if c[0] == "purge"]) == 1
    # As a function, with the field of the head.
    http = Client(house.endpoints["agent"], house.clerk.token)
    got = http.post("/v1/agent/call", {"name": "box__purge", "arguments": {}})
    assert (got.status, got.code) == (403, "ApprovalRequired")
    approve(house, got.json["approval_id"])
    got = http.post("/v1/agent/call", {"name": "box__purge", "arguments": {}},
                    headers={"Aegis-Approval": got.json["approval_id"]})
    assert got.status == 200 and got.json["result"]["isError"] is False


def test_agents_end_nothing_alone(house):
    """Destroying, deactivating, revoking another: the scope is not enough, on any plane. Below itself it is."""
    who = house.agent(house.root, ["key:old:destroy", "key:old:deactivate", "key:old:sign"], "cleaner", max_depth=1)
    victim = house.agent(house.root, ["key:old:sign"], "victim")
    boss = house.agent(house.root, ["agent:%s:revoke" % victim.id], "boss")
    house.key(house.root, "old", activate=True)
    tools = Mcp(house, who.token).tools()
    assert [n for n in tools if tools[n]["annotations"]["destructiveHint"]] == ["deactivate_key", "destroy_key"]
    assert "revoke_agent" in Mcp(house, boss.token).tools()
    mine = Mcp(house, who.token)
    ask = {"name": "deactivate_key", "arguments": {"key": "old", "reason": "rotated out"}}
    got = mine.ask("tools/call", ask, meta=LEADS)
    apr, state = led(got)
    event, = house.event_of(house.root, got)
    assert (event["operation"], event["code"]) == ("key.deactivate", "ApprovalRequired")
    # REST and functions need the same approval, by the same question.
    rest = house.client(who.token).post("/v1/keys/old/deactivate", {"reason": "rotated out"})
    assert (rest.status, rest.code) == (403, "ApprovalRequired") and rest.json["approval_id"] == apr, rest
    assert rest.json["rule"] == "agents-end-nothing-alone"
    then = McpThen(house, who.token).ask("tools/call", ask).json["result"]
    assert then["isError"] is True and json.loads(then["content"][0]["text"])["approval_id"] == apr
    assert house.root.ok("GET", "/v1/keys/old")["state"] == "Active"
    approve(house, apr)
    assert plain(again(mine, ask, state))["state"] == "Deactivated"
    other = Mcp(house, boss.token).ask("tools/call", {"name": "revoke_agent", "arguments": {
        "agent": victim.id, "reason": "x"}}, meta=LEADS)
    approve(house, led(other)[0])
    done = again(Mcp(house, boss.token), {"name": "revoke_agent", "arguments": {"agent": victim.id, "reason": "x"}}, led(other)[1])
    assert plain(done)["revoked"] >= 1, done
    # What is below, and itself, nobody is asked about.
    child = house.client(who.token).ok("POST", "/v1/agents/issue", {
        "label": "child", "scopes": ["key:old:sign"], "ttl_s": 600})
    assert house.client(who.token).post("/v1/agents/%s/revoke" % child["agent_id"], {"reason": "done"}).status == 200
    assert plain(Mcp(house, who.token).ask("tools/call", {"name": "revoke_agent", "arguments": {
        "agent": who.id, "reason": "done"}}))["revoked"] >= 1


def test_access_for_a_while(house):
    """request_access: people agree, then the agent may, and sees it; what no rule gives is refused at once."""
    house.key(house.root, "spare")
    who = Mcp(house, house.agent(house.root, ["key:pay:decrypt"], "temp", ttl_s=86400).token)
    ask = {"name": "request_access", "arguments": {"scopes": ["key:spare:sign"], "reason": "month end", "ttl_s": 600}}
    assert "request_access" in who.tools() and "sign" not in who.tools()
    apr, state = led(who.ask("tools/call", ask, meta=LEADS))
    shown = house.alice.ok("GET", "/v1/approvals/" + apr)
    assert shown["operation"] == "grant.request" and "sign" not in who.tools()
    approve(house, apr)
    grant = plain(again(who, ask, state))
    assert grant["scopes"] == ["key:spare:sign"] and grant["approval_id"] == apr and grant["state"] == "active"
    wait_for(lambda: "sign" in who.tools(), 30, what="the tool")
    signed = who.ask("tools/call", {"name": "sign", "arguments": {"key": "spare", "message_b64": b64(b"m")}})
    assert plain(signed)["signature_b64"]
    refused = who.ask("tools/call", dict(ask, arguments=dict(ask["arguments"], scopes=["key:pay:sign"]))).json["result"]
    assert json.loads(refused["content"][0]["text"])["reason_code"] == "no_matching_rule"


def test_a_prompt_in_clear(house):
    """audit.prompts: text. Its hash is there as ever; what looks like a secret in it is not."""
    who = Mcp(house, house.clerk.token)
    secret = "AKIA" + "Q3EXAMPLEQ3EXAMP"
    words = "look up the forecast\nfor Oslo with %s please" % secret

    def done():
        got = who.ask("tools/call", {"name": "box__get", "arguments": {}}, meta={"io.aegis/prompt": words})
        return got if got.json["result"]["isError"] is False else None
    event, = house.event_of(house.root, wait_for(done, 30, what="the key for prompts"))
    assert event["prompt_hash"].startswith("hmac:")
    kept = event["params"]["prompt"]
    assert kept.startswith("look up the forecast\nfor Oslo with [redacted:cloud_key:") and kept.endswith("] please"), kept
    event, = house.event_of(house.root, who.ask("tools/call", {"name": "box__get", "arguments": {}}))
    assert "prompt" not in event["params"] and event["prompt_hash"] is None
