// SPDX-License-Identifier: Apache-2.0
// What either SDK asks of the plane. Environment: AEGIS_MCP_URL, AEGIS_TOKEN_FILE, AEGIS_KEY. Prints one line of JSON.
import { readFileSync } from "node:fs";

export async function speak(Client, Transport, options) {
  const token = readFileSync(process.env.AEGIS_TOKEN_FILE, "utf8").trim();
  const client = new Client({ name: "interop", version: "1" }, options);
  const key = process.env.AEGIS_KEY;
  await client.connect(new Transport(new URL(process.env.AEGIS_MCP_URL),
    { requestInit: { headers: { Authorization: "Bearer " + token } } }));
  const tools = (await client.listTools()).tools.map(tool => tool.name);
  const signed = await client.callTool({ name: "sign", arguments: { key, message_b64: "aGVsbG8=" } });
  const { key_id, signature_b64 } = signed.structuredContent;
  const said = await client.callTool({ name: "verify", arguments: { key, message_b64: "aGVsbG8=", signature_b64 } });
  const refused = await client.callTool({ name: "describe_key", arguments: { key: "gone" } });
  const scopes = await client.readResource({ uri: "aegis://me/scopes" });
  const prompt = await client.getPrompt({ name: "rotate_safely", arguments: { key } });
  const unknown = await client.callTool({ name: "no_such_tool", arguments: {} }).then(() => null, error => error.code);
  console.log(JSON.stringify({
    version: client.getNegotiatedProtocolVersion?.() ?? client.transport?.protocolVersion, tools, key_id,
    valid: said.structuredContent.valid, refused: JSON.parse(refused.content[0].text).code,
    scopes: JSON.parse(scopes.contents[0].text).scopes, prompt: prompt.messages.length, unknown }));
  await client.close();
}
