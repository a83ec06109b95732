// SPDX-License-Identifier: Apache-2.0
// What an agent does with the tools of examples/langchain_tools.ts. Prints one line of JSON.
import { aegisTools } from "./langchain_tools.ts";

const { AEGIS_AGENT_URL, AEGIS_TOKEN_FILE, AEGIS_KEY } = process.env as Record<string, string>;
const tools = Object.fromEntries((await aegisTools(AEGIS_AGENT_URL, AEGIS_TOKEN_FILE)).map(each => [each.name, each]));
const call = async (name: string, args: object) =>
  (await tools[name].invoke({ name, args, id: "call_1", type: "tool_call" })) as { content: string };
const signed = await call("sign", { key: AEGIS_KEY, message_b64: "aGVsbG8=" });
const refused = await call("sign", { key: "other", message_b64: "aGVsbG8=" });
console.log(JSON.stringify({ tools: Object.keys(tools).sort(), signed: JSON.parse(signed.content).key_id, refused: refused.content,
  schema: (tools.sign.schema as { required: string[] }).required }));
