// SPDX-License-Identifier: Apache-2.0
// The SDK of 2025-11-25 as a client: its tools, a call, a resource, a prompt, a tool that is not there. Prints one line.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { speak } from "./client.mjs";

await speak(Client, StreamableHTTPClientTransport, {});
