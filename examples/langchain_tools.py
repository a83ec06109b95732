# SPDX-License-Identifier: Apache-2.0
"""Aegis' functions as LangChain tools: `tools = aegis_tools(url, token_file)`, then `agent.bind_tools(tools)`.

url is that of the plane of functions (`agent` in run/endpoints.json); token_file holds the agent's credential, 0600.
Which tools there are is what the credential may do; a refusal is what the tool answers, in words that a model can act
on, and no exception. Needs langchain-core; written for 1.x."""
import json
import os
import stat
import urllib.error
import urllib.request

from langchain_core.tools import StructuredTool, ToolException

TIMEOUT_S = 15


def read_token(path):
    with open(path) as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise PermissionError("%s: others may read it; chmod 600" % path)
        return file.read().strip()


def ask(url, token_file, path, body=None):
    """(what was answered, None), or (None, the problem: RFC 9457)."""
    request = urllib.request.Request(url.rstrip("/") + path, headers={
        "Authorization": "Bearer " + read_token(token_file), "Content-Type": "application/json"},
        data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer), None
    except urllib.error.HTTPError as error:
        return None, json.load(error)


def explain(problem):
    words = "%s/%s: %s" % (problem["code"], problem["reason_code"], problem["detail"] or problem["title"])
    return words + (" " + problem["hint"] if problem.get("hint") else "") + " (request %s)" % problem["request_id"]


def make_tool(url, token_file, function):
    name = function["name"]

    def call(**arguments):
        answer, problem = ask(url, token_file, "/v1/agent/call", {"name": name, "arguments": arguments})
        if problem is not None:
            raise ToolException(explain(problem))
        return json.dumps(answer["result"])
    return StructuredTool.from_function(func=call, name=name, description=function["description"],
                                        args_schema=function["parameters"], handle_tool_error=True)


def aegis_tools(url, token_file):
    listed, problem = ask(url, token_file, "/v1/agent/functions")
    if problem is not None:
        raise RuntimeError(explain(problem))
    return [make_tool(url, token_file, row["function"]) for row in listed["tools"]]
