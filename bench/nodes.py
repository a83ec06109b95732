# SPDX-License-Identifier: Apache-2.0
"""How soon a change on one node of a journal in PostgreSQL binds on another: from its answer there to the first answer
here that knows of it. Negative counts as none: the other node knew before the author had the answer."""
import os
import threading
import time

PASSWORD = "a password of the bench"
SIGN = {"message_b64": "bQ=="}
ALL = "permit (principal, action, resource);\n"
NO_SIGNING = ALL + 'forbid (principal, action == Aegis::Action::"key.sign", resource);\n'


def both(config):
    """A server and two nodes on it, the second with an admin's credential of its own."""
    from conftest import Fleet
    from servers import Postgres
    server = Postgres(PASSWORD).start()
    secret = os.path.join(server.folder, "password")
    os.chmod(secret, 0o600)
    journal = {"kind": "postgres", "postgres": {"url": server.url, "password_file": secret}}
    nodes = [Fleet(config=dict(config, journal=journal)) for _ in range(2)]
    nodes[0].start()
    nodes[0].admin().ok("GET", "/v1/whoami")
    nodes[1].start()
    nodes[1].run("admin-token", "--out", os.path.join(nodes[1].state, "admin.token"), check=0)
    return server, nodes


def bound_after(change, knows):
    """Milliseconds between the end of change() and the end of the first knows() that is true."""
    ended = []

    def run():
        change()
        ended.append(time.perf_counter())
    thread = threading.Thread(target=run)
    thread.start()
    until = time.monotonic() + 30
    while not knows():
        if time.monotonic() > until:
            raise SystemExit("bench: the other node never heard of it")
    now = time.perf_counter()
    thread.join()
    return max(0.0, (now - ended[0]) * 1e3)


def wait_until(condition):
    until = time.monotonic() + 30
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("bench: waited in vain")


def kinds(nodes):
    """name, a function that makes one and measures it."""
    author, b = nodes[0].admin(), nodes[1].admin()
    nodes[1].key(b, "k")

    def sign(who, key="k"):
        return who.post("/v1/keys/%s/sign" % key, SIGN).status

    def revoke(n):
        agent = nodes[1].agent(b, ["key:k:sign"], label="bench")
        path = "/v1/agents/" + agent.id
        wait_until(lambda: author.get(path).status == 200 and sign(agent) == 200)
        took = bound_after(lambda: author.ok("POST", path + "/revoke", {"reason": "bench"}), lambda: sign(agent) == 401)
        agent.close()
        return took

    def compromise(n):
        name = "c%d" % n
        nodes[1].key(b, name)
        wait_until(lambda: author.get("/v1/keys/" + name).status == 200 and sign(b, name) == 200)
        return bound_after(lambda: author.ok("POST", "/v1/keys/%s/compromise" % name, {"reason": "bench"}),
                           lambda: sign(b, name) == 409)

    def destroy(n):
        name = "d%d" % n
        nodes[1].key(b, name, activate=False)
        wait_until(lambda: author.get("/v1/keys/" + name).status == 200)
        before = b.ok("GET", "/v1/keys/" + name)
        return bound_after(lambda: author.ok("POST", "/v1/keys/%s/destroy" % name, {"reason": "bench"}),
                           lambda: b.ok("GET", "/v1/keys/" + name) != before)

    def policy(n):
        author.ok("PUT", "/v1/policies/base", {"text": ALL})
        wait_until(lambda: sign(b) == 200)
        return bound_after(lambda: author.ok("PUT", "/v1/policies/base", {"text": NO_SIGNING}), lambda: sign(b) == 403)
    # The last: when the last document is gone everything is denied.
    return [("revoke", revoke), ("compromise", compromise), ("destroy", destroy), ("policy", policy)]


def measure(config, count):
    """kind → sorted milliseconds, `count` of each."""
    server, nodes = both(config)
    try:
        return dict((name, sorted(one(n) for n in range(count))) for name, one in kinds(nodes))
    finally:
        for node in nodes:
            node.leave()
        server.leave()
