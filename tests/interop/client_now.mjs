// SPDX-License-Identifier: Apache-2.0
// The SDK of 2026-07-28 as a client, and nothing older.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { speak } from "./client.mjs";

await speak(Client, StreamableHTTPClientTransport, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
