// `window.openai`: what ChatGPT puts into the page. Every member is tested for before it is used.

import type { Ability, Channel, Listener, WidgetState } from "./channel.ts";
import { displayMode, theme, type DisplayMode, type HostContext } from "./context.ts";
import { isFields, responseMeta, toolResult, type Fields, type ToolResult } from "./result.ts";

interface OpenAi {
  readonly toolInput?: unknown;
  readonly toolOutput?: unknown;
  readonly toolResponseMetadata?: unknown;
  readonly widgetState?: unknown;
  readonly theme?: unknown;
  readonly locale?: unknown;
  readonly displayMode?: unknown;
  readonly maxHeight?: unknown;
  readonly safeArea?: unknown;
  callTool?(name: string, args: Fields): Promise<unknown>;
  setWidgetState?(state: unknown): unknown;
  requestDisplayMode?(request: { mode: DisplayMode }): Promise<unknown>;
  sendFollowUpMessage?(message: { prompt: string }): Promise<unknown>;
  notifyIntrinsicHeight?(height: number): void;
}

declare global {
  interface Window {
    openai?: OpenAi;
  }
}

const METHODS: Readonly<Record<Exclude<Ability, "log">, keyof OpenAi>> = {
  callTool: "callTool",
  setState: "setWidgetState",
  requestDisplayMode: "requestDisplayMode",
  sendMessage: "sendFollowUpMessage",
  reportSize: "notifyIntrinsicHeight",
};

export class OpenAiChannel implements Channel {
  #listener: Listener;
  #seen = "";
  #restored = false;

  constructor(listener: Listener) {
    this.#listener = listener;
    window.addEventListener("openai:set_globals", this.#read);
  }

  /** Reads what is there; the host announces every later change. */
  open(): void {
    this.#read();
  }

  can(ability: Ability): boolean {
    return ability !== "log" && typeof window.openai?.[METHODS[ability]] === "function";
  }

  async callTool(name: string, args: Fields): Promise<ToolResult> {
    return toolResult(await window.openai?.callTool?.(name, args));
  }

  setState(state: WidgetState): void {
    void window.openai?.setWidgetState?.(state);
  }

  async requestDisplayMode(mode: DisplayMode): Promise<void> {
    const answer = await window.openai?.requestDisplayMode?.({ mode });
    const granted = isFields(answer) ? displayMode(answer["mode"]) : undefined;
    if (granted !== undefined) this.#listener.context({ displayMode: granted });
  }

  async sendMessage(text: string): Promise<void> {
    await window.openai?.sendFollowUpMessage?.({ prompt: text });
  }

  log(): void {}

  reportSize(_width: number, height: number): void {
    window.openai?.notifyIntrinsicHeight?.(height);
  }

  close(): void {
    window.removeEventListener("openai:set_globals", this.#read);
  }

  #read = (): void => {
    const globals = window.openai;
    if (globals === undefined) return;
    this.#context(globals);
    this.#state(globals);
    this.#result(globals);
  };

  #context(globals: OpenAi): void {
    const safeArea = isFields(globals.safeArea) ? globals.safeArea["insets"] : undefined;
    const change: { -readonly [K in keyof HostContext]?: HostContext[K] | undefined } = {
      theme: theme(globals.theme),
      locale: typeof globals.locale === "string" ? globals.locale : undefined,
      displayMode: displayMode(globals.displayMode),
      displayModes: this.can("requestDisplayMode") ? ["inline", "fullscreen"] : undefined,
      insets: isFields(safeArea) ? insets(safeArea) : undefined,
      maxHeight: typeof globals.maxHeight === "number" ? globals.maxHeight : undefined,
      input: isFields(globals.toolInput) ? globals.toolInput : undefined,
    };
    const named = Object.entries(change).filter(([, value]) => value !== undefined);
    this.#listener.context(Object.fromEntries(named) as Partial<HostContext>);
  }

  /** Only what was kept from before: later changes are the page's own. */
  #state(globals: OpenAi): void {
    if (this.#restored || !isFields(globals.widgetState)) return;
    this.#restored = true;
    const { modelContent, privateContent } = globals.widgetState;
    this.#listener.state({
      modelContent: isFields(modelContent) ? modelContent : {},
      privateContent: isFields(privateContent) ? privateContent : {},
    });
  }

  /** The globals go on holding the first result, so it is passed on only when it is another one. */
  #result(globals: OpenAi): void {
    const { toolOutput, toolResponseMetadata } = globals;
    if ((toolOutput === null || toolOutput === undefined) && !isFields(toolResponseMetadata)) return;
    const seen = JSON.stringify([toolOutput, toolResponseMetadata]);
    if (seen === this.#seen) return;
    this.#seen = seen;
    const envelope = toolResult(isFields(toolResponseMetadata) ? toolResponseMetadata : {});
    const output = outputOf(toolOutput);
    this.#listener.result({
      ...envelope,
      structured: output.structured ?? envelope.structured,
      text: envelope.text || output.text,
      meta: responseMeta(toolResponseMetadata),
    });
  }
}

/** `toolOutput` is the structured content itself, or text when the tool gave none. */
function outputOf(toolOutput: unknown): ToolResult {
  return toolResult(isFields(toolOutput) ? { structuredContent: toolOutput } : toolOutput);
}

function insets(value: Fields): HostContext["insets"] {
  const side = (name: string) => (typeof value[name] === "number" ? value[name] : 0);
  return { top: side("top"), right: side("right"), bottom: side("bottom"), left: side("left") };
}
