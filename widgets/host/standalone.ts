// No host: the page was opened as a page, beside the server's own MCP endpoint, and speaks HTTP to it.

import type { Ability, Channel } from "./channel.ts";
import { isFields, toolResult, type Fields, type ToolResult } from "./result.ts";

const PROTOCOL_VERSION = "2026-07-28";

/** Relative, because the server may stand under a path prefix. */
const ENDPOINT = "../../mcp";

export class Standalone implements Channel {
  #app: { name: string; version: string };

  constructor(app: { name: string; version: string }) {
    this.#app = app;
  }

  can(ability: Ability): boolean {
    return ability === "callTool";
  }

  async callTool(name: string, args: Fields): Promise<ToolResult> {
    const response = await fetch(ENDPOINT, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json, text/event-stream",
        "MCP-Protocol-Version": PROTOCOL_VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": name,
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args, _meta: this.#meta() } }),
    });
    const requestId = response.headers.get("X-Request-Id");
    const answer = rpcAnswer(await response.text());
    if (answer === null) throw new Error(`HTTP ${response.status}`);
    if (isFields(answer["error"])) throw new Error(String(answer["error"]["message"] ?? `HTTP ${response.status}`));
    if (answer["result"] === undefined) throw new Error(String(answer["detail"] ?? `HTTP ${response.status}`));
    return { ...toolResult(answer["result"]), requestId };
  }

  #meta(): Fields {
    return {
      "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
      "io.modelcontextprotocol/clientInfo": this.#app,
      "io.modelcontextprotocol/clientCapabilities": {},
    };
  }

  setState(): void {}
  async requestDisplayMode(): Promise<void> {}
  async sendMessage(): Promise<void> {}
  log(): void {}
  reportSize(): void {}
  close(): void {}
}

/** The answer in a JSON body, or the last message of an event stream. */
function rpcAnswer(body: string): Fields | null {
  const events = body.split(/\r?\n\r?\n/).map((event) => event.split(/\r?\n/).filter((line) => line.startsWith("data:")));
  const data = events.map((lines) => lines.map((line) => line.slice(5)).join("\n")).filter((text) => text !== "");
  for (const text of [body, ...data.reverse()]) {
    try {
      const value: unknown = JSON.parse(text);
      if (isFields(value)) return value;
    } catch {
      // Not JSON: an event stream read as a whole, or an error page.
    }
  }
  return null;
}
