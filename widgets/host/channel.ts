// One way to a host. There are three: the MCP Apps bridge, `window.openai`, and plain HTTP when there is no host.

import type { DisplayMode, HostContext } from "./context.ts";
import type { Fields, ToolResult } from "./result.ts";

/** What outlives the page: `modelContent` is for the model too, `privateContent` for the page alone. */
export interface WidgetState {
  readonly modelContent: Fields;
  readonly privateContent: Fields;
}

export type Ability = "callTool" | "setState" | "requestDisplayMode" | "sendMessage" | "log" | "reportSize";

/** What a channel tells the page. Every call may come at any time until `close`. */
export interface Listener {
  context(change: Partial<HostContext>): void;
  result(result: ToolResult): void;
  state(state: WidgetState): void;
  /** The host is about to take the page away. */
  teardown(): void;
}

export interface Channel {
  /** Whether the host offers this now; a method below is called only when it does. */
  can(ability: Ability): boolean;
  /** Rejects when the call did not reach the tool or no answer came; a tool's own error is a result. */
  callTool(name: string, args: Fields): Promise<ToolResult>;
  setState(state: WidgetState): void;
  requestDisplayMode(mode: DisplayMode): Promise<void>;
  sendMessage(text: string): Promise<void>;
  log(message: string): void;
  reportSize(width: number, height: number): void;
  close(): void;
}
