// The MCP Apps bridge: JSON-RPC with the frame's parent.
//
// The messages are typed by `@modelcontextprotocol/ext-apps`, but its `App` class is not used: with the schema library
// it brings, it alone is larger than a whole page may be.

import type {
  McpUiHostCapabilities,
  McpUiHostContext,
  McpUiInitializeRequest,
  McpUiInitializeResult,
  McpUiMessageRequest,
  McpUiRequestDisplayModeRequest,
  McpUiRequestDisplayModeResult,
  McpUiSizeChangedNotification,
  McpUiUpdateModelContextRequest,
} from "@modelcontextprotocol/ext-apps";
import type { Ability, Channel, Listener, WidgetState } from "./channel.ts";
import { displayMode, theme, type DisplayMode, type HostContext } from "./context.ts";
import { failure, isFields, toolResult, type Fields, type ToolResult } from "./result.ts";

const PROTOCOL_VERSION = "2026-01-26";

/** Longer than any host lets a tool run, so that the host's own answer comes first. */
const ANSWER_WITHIN_MS = 90_000;

const METHOD_NOT_FOUND = -32601;

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class Bridge implements Channel {
  #listener: Listener;
  #window: Window;
  #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #capabilities: McpUiHostCapabilities | null = null;
  #displayModes: readonly DisplayMode[] = [];
  #toldModel = "";

  constructor(parent: Window, listener: Listener) {
    this.#window = parent;
    this.#listener = listener;
    window.addEventListener("message", this.#receive);
  }

  /** Shakes hands. Stays pending for as long as no host answers. */
  async open(app: { name: string; version: string }): Promise<void> {
    const params: McpUiInitializeRequest["params"] = {
      appInfo: app,
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
      protocolVersion: PROTOCOL_VERSION,
    };
    const answer = (await this.#request("ui/initialize", params, Infinity)) as Partial<McpUiInitializeResult>;
    this.#capabilities = answer.hostCapabilities ?? {};
    this.#hostContext(answer.hostContext ?? {});
    this.#notify("ui/notifications/initialized", {});
  }

  can(ability: Ability): boolean {
    const capabilities = this.#capabilities;
    if (capabilities === null) return false;
    switch (ability) {
      case "callTool":
        return capabilities.serverTools !== undefined;
      case "setState":
        return capabilities.updateModelContext !== undefined;
      case "requestDisplayMode":
        return this.#displayModes.length > 1;
      case "sendMessage":
        return capabilities.message !== undefined;
      case "log":
        return capabilities.logging !== undefined;
      case "reportSize":
        return true;
    }
  }

  async callTool(name: string, args: Fields): Promise<ToolResult> {
    return toolResult(await this.#request("tools/call", { name, arguments: args }, ANSWER_WITHIN_MS));
  }

  /** The bridge keeps nothing for a page, so only the model's part goes out, and only when it changed. */
  setState(state: WidgetState): void {
    const text = JSON.stringify(state.modelContent);
    if (text === this.#toldModel) return;
    // A page that was only opened has nothing to say.
    const blank = Object.values(state.modelContent).every((value) => Array.isArray(value) && value.length === 0);
    if (blank && this.#toldModel === "") return;
    this.#toldModel = text;
    const kinds = this.#capabilities?.updateModelContext ?? {};
    const params: McpUiUpdateModelContextRequest["params"] =
      kinds.structuredContent !== undefined && kinds.text === undefined
        ? { structuredContent: { ...state.modelContent } }
        : { content: [{ type: "text", text }] };
    this.#request("ui/update-model-context", params, ANSWER_WITHIN_MS).catch(() => (this.#toldModel = ""));
  }

  async requestDisplayMode(mode: DisplayMode): Promise<void> {
    const params: McpUiRequestDisplayModeRequest["params"] = { mode };
    const answer = (await this.#request("ui/request-display-mode", params, ANSWER_WITHIN_MS)) as McpUiRequestDisplayModeResult;
    const granted = displayMode(answer.mode);
    if (granted !== undefined) this.#listener.context({ displayMode: granted });
  }

  async sendMessage(text: string): Promise<void> {
    const params: McpUiMessageRequest["params"] = { role: "user", content: [{ type: "text", text }] };
    const answer = await this.#request("ui/message", params, ANSWER_WITHIN_MS);
    if (isFields(answer) && answer["isError"] === true) throw new Error("the host did not take the message");
  }

  log(message: string): void {
    this.#notify("notifications/message", { level: "warning", logger: "widget", data: message });
  }

  reportSize(width: number, height: number): void {
    const params: McpUiSizeChangedNotification["params"] = { width, height };
    this.#notify("ui/notifications/size-changed", params);
  }

  close(): void {
    window.removeEventListener("message", this.#receive);
    for (const waiting of this.#waiting.values()) waiting.reject(new Error("the page was closed"));
    this.#waiting.clear();
  }

  #request(method: string, params: object, withinMs: number): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = Number.isFinite(withinMs) ? setTimeout(() => this.#expire(id), withinMs) : undefined;
      const settle = () => {
        clearTimeout(timer);
        this.#waiting.delete(id);
      };
      this.#waiting.set(id, {
        resolve: (result) => (settle(), resolve(result)),
        reject: (error) => (settle(), reject(error)),
      });
      this.#post({ jsonrpc: "2.0", id, method, params });
    });
  }

  #expire(id: number): void {
    this.#notify("notifications/cancelled", { requestId: id, reason: "no answer came in time" });
    this.#waiting.get(id)?.reject(new Error("no answer came in time"));
  }

  #notify(method: string, params: object): void {
    this.#post({ jsonrpc: "2.0", method, params });
  }

  /** The host's origin is not known to a page in a sandbox, so the target is any; only the parent can hear it. */
  #post(message: object): void {
    this.#window.postMessage(message, "*");
  }

  #receive = (event: MessageEvent): void => {
    if (event.source !== this.#window || !isFields(event.data) || event.data["jsonrpc"] !== "2.0") return;
    const { id, method, params, result, error } = event.data;
    if (typeof method !== "string") this.#answered(id, result, error);
    else if (id === undefined) this.#notified(method, isFields(params) ? params : {});
    else this.#requested(id, method);
  };

  #answered(id: unknown, result: unknown, error: unknown): void {
    const waiting = this.#waiting.get(Number(id));
    if (waiting === undefined) return;
    if (error === undefined) return waiting.resolve(result);
    const message = isFields(error) && typeof error["message"] === "string" ? error["message"] : "the host refused the request";
    waiting.reject(new Error(message));
  }

  #requested(id: unknown, method: string): void {
    if (method === "ui/resource-teardown") this.#listener.teardown();
    if (method === "ping" || method === "ui/resource-teardown") this.#post({ jsonrpc: "2.0", id, result: {} });
    else this.#post({ jsonrpc: "2.0", id, error: { code: METHOD_NOT_FOUND, message: `this page has no ${method}` } });
  }

  #notified(method: string, params: Fields): void {
    switch (method) {
      case "ui/notifications/tool-input":
        return this.#listener.context({ input: isFields(params["arguments"]) ? params["arguments"] : {} });
      case "ui/notifications/tool-result":
        return this.#listener.result(toolResult(params));
      case "ui/notifications/tool-cancelled":
        return this.#listener.result(failure(typeof params["reason"] === "string" ? params["reason"] : ""));
      case "ui/notifications/host-context-changed":
        return this.#hostContext(params as McpUiHostContext);
    }
  }

  /** Takes over what is named; a change names only what changed. */
  #hostContext(host: McpUiHostContext): void {
    const size = host.containerDimensions as { height?: number; maxHeight?: number } | undefined;
    const modes = host.availableDisplayModes?.map(displayMode).filter((mode) => mode !== undefined);
    if (modes !== undefined) this.#displayModes = modes;
    const change: { -readonly [K in keyof HostContext]?: HostContext[K] | undefined } = {
      theme: theme(host.theme),
      locale: host.locale,
      timeZone: host.timeZone,
      displayMode: displayMode(host.displayMode),
      displayModes: modes,
      insets: host.safeAreaInsets,
      maxHeight: size === undefined ? undefined : (size.height ?? size.maxHeight ?? null),
      variables: host.styles?.variables === undefined ? undefined : customProperties(host.styles.variables),
      tool: host.toolInfo?.tool.name,
    };
    const named = Object.entries(change).filter(([, value]) => value !== undefined);
    this.#listener.context(Object.fromEntries(named) as Partial<HostContext>);
  }
}

function customProperties(variables: Fields): Record<string, string> {
  const named = Object.entries(variables).filter(([name, value]) => name.startsWith("--") && typeof value === "string");
  return Object.fromEntries(named) as Record<string, string>;
}
