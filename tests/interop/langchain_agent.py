# SPDX-License-Identifier: Apache-2.0
"""What an agent does with the tools of examples/langchain_tools.py. Prints one line of JSON."""
import json
import os

from langchain_core.messages import ToolCall
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tools import aegis_tools

URL, TOKEN, KEY = (os.environ[name] for name in ("AEGIS_AGENT_URL", "AEGIS_TOKEN_FILE", "AEGIS_KEY"))
tools = {tool.name: tool for tool in aegis_tools(URL, TOKEN)}


def call(name, **arguments):
    return tools[name].invoke(ToolCall(name=name, args=arguments, id="call_1", type="tool_call"))


signed = call("sign", key=KEY, message_b64="aGVsbG8=")
refused = call("sign", key="other", message_b64="aGVsbG8=")
print(json.dumps({"tools": sorted(tools), "signed": json.loads(signed.content)["key_id"], "refused": refused.content,
                  "status": [signed.status, refused.status],
                  "schema": convert_to_openai_tool(tools["sign"])["function"]["parameters"]["required"]}))
