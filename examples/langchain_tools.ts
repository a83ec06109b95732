// SPDX-License-Identifier: Apache-2.0
// Aegis' functions as LangChain tools: `const tools = await aegisTools(url, tokenFile)`, then `model.bindTools(tools)`.
// url is that of the plane of functions (`agent` in run/endpoints.json); tokenFile holds the agent's credential, 0600.
// Which tools there are is what the credential may do; a refusal is what the tool answers, in words that a model can
// act on, and no exception. Needs @langchain/core; written for 1.x.
import { readFileSync, statSync } from "node:fs";
import { tool, type StructuredToolInterface } from "@langchain/core/tools";

const TIMEOUT_MS = 15000;

type Problem = { code: string; reason_code: string | null; title: string; detail: string | null; hint: string | null; request_id: string };
type Listed = { function: { name: string; description: string; parameters: Record<string, unknown> } };

function readToken(path: string): string {
  if (statSync(path).mode & 0o077) throw new Error(`${path}: others may read it; chmod 600`);
  return readFileSync(path, "utf8").trim();
}

async function ask(url: string, tokenFile: string, path: string, body?: unknown): Promise<{ answer?: any; problem?: Problem }> {
  const got = await fetch(url.replace(/\/$/, "") + path, {
    method: body === undefined ? "GET" : "POST",
    headers: { Authorization: "Bearer " + readToken(tokenFile), "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return got.ok ? { answer: await got.json() } : { problem: (await got.json()) as Problem };
}

function explain(problem: Problem): string {
  const hint = problem.hint ? " " + problem.hint : "";
  return `${problem.code}/${problem.reason_code}: ${problem.detail || problem.title}${hint} (request ${problem.request_id})`;
}

export async function aegisTools(url: string, tokenFile: string): Promise<StructuredToolInterface[]> {
  const { answer, problem } = await ask(url, tokenFile, "/v1/agent/functions");
  if (problem) throw new Error(explain(problem));
  return (answer.tools as Listed[]).map(({ function: row }) =>
    tool(
      async (given: unknown) => {
        const said = await ask(url, tokenFile, "/v1/agent/call", { name: row.name, arguments: given });
        return said.problem ? explain(said.problem) : JSON.stringify(said.answer.result);
      },
      { name: row.name, description: row.description, schema: row.parameters as any },
    ),
  ) as StructuredToolInterface[];
}
