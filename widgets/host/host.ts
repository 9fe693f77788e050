// The host as a page sees it: one object, whichever channels lead there.

import { Bridge } from "./bridge.ts";
import type { Ability, Channel, Listener, WidgetState } from "./channel.ts";
import { applyContext, NO_CONTEXT, type DisplayMode, type HostContext } from "./context.ts";
import { OpenAiChannel } from "./openai.ts";
import type { Fields, ToolResult } from "./result.ts";
import { Standalone } from "./standalone.ts";

/** `silent`: the page is in a frame, but nobody in it has answered yet; that may still change. */
export type Link = "connecting" | "bridge" | "openai" | "standalone" | "silent" | "closed";

export interface Snapshot {
  readonly link: Link;
  readonly context: HostContext;
  /** The latest result the host gave; what the page called itself goes to the caller only. */
  readonly result: ToolResult | null;
  readonly state: WidgetState;
  readonly canCall: boolean;
  readonly canMessage: boolean;
}

/** A host with `window.openai` whose bridge has not answered by then is used without it. */
const BRIDGE_WITHIN_MS = 1_000;

/** After this long without any host the page says so. */
const HOST_WITHIN_MS = 6_000;

/** Typing changes the state at every key; the host hears of it when the typing rests. */
const KEEP_AFTER_MS = 300;

export class Host {
  #channels: Channel[] = [];
  #bridge: Bridge | null = null;
  #openai: OpenAiChannel | null = null;
  #fromBridge: Partial<HostContext> = {};
  #fromOpenAi: Partial<HostContext> = {};
  #listeners = new Set<() => void>();
  #snapshot: Snapshot = {
    link: "connecting",
    context: NO_CONTEXT,
    result: null,
    state: { modelContent: {}, privateContent: {} },
    canCall: false,
    canMessage: false,
  };
  #resize: ResizeObserver | null = null;
  #size = "";
  #keeping: number | undefined;

  /** Bound, so that they can be handed to `useSyncExternalStore`. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly snapshot = (): Snapshot => this.#snapshot;

  constructor(app: { name: string; version: string }) {
    if (window.parent === window && window.openai === undefined) {
      this.#openStandalone(app);
      return;
    }
    this.#openai = new OpenAiChannel(this.#listen((change) => (this.#fromOpenAi = { ...this.#fromOpenAi, ...change })));
    this.#channels = [this.#openai];
    if (window.parent !== window) {
      this.#bridge = new Bridge(window.parent, this.#listen((change) => (this.#fromBridge = { ...this.#fromBridge, ...change })));
      this.#channels = [this.#bridge, this.#openai];
      this.#bridge.open(app).then(
        () => this.#change({ link: "bridge" }),
        () => this.#giveUpBridge(),
      );
    }
    this.#openai.open();
    setTimeout(() => this.#giveUpBridge(), this.#bridge === null ? 0 : BRIDGE_WITHIN_MS);
    setTimeout(() => this.#change({ link: this.#snapshot.link === "connecting" ? "silent" : this.#snapshot.link }), HOST_WITHIN_MS);
    this.#reportSizes();
    window.addEventListener("pagehide", () => this.#keep());
  }

  /** Calls a tool of the server the page came from. Rejects when no answer came; a tool's own error is a result. */
  async callTool(name: string, args: Fields): Promise<ToolResult> {
    await this.#settled();
    const channel = this.#first("callTool");
    if (channel === undefined) throw new Error("this host does not let the page call tools");
    return channel.callTool(name, args);
  }

  /** Keeps the state where the host keeps it, and in memory. */
  setState(state: WidgetState): void {
    if (JSON.stringify(state) === JSON.stringify(this.#snapshot.state)) return;
    this.#change({ state });
    clearTimeout(this.#keeping);
    this.#keeping = window.setTimeout(() => this.#keep(), KEEP_AFTER_MS);
  }

  async requestDisplayMode(mode: DisplayMode): Promise<void> {
    await this.#first("requestDisplayMode")?.requestDisplayMode(mode);
  }

  /** Says something in the chat in the user's name. */
  async sendMessage(text: string): Promise<void> {
    await this.#first("sendMessage")?.sendMessage(text);
  }

  log(message: string): void {
    this.#first("log")?.log(message);
  }

  #keep(): void {
    if (this.#keeping === undefined) return;
    clearTimeout(this.#keeping);
    this.#keeping = undefined;
    // What `window.openai` keeps reaches the model too, so the bridge need not say it again.
    const keeper = this.#openai?.can("setState") === true ? this.#openai : this.#first("setState");
    keeper?.setState(this.#snapshot.state);
  }

  #openStandalone(app: { name: string; version: string }): void {
    this.#channels = [new Standalone(app)];
    this.#change({ link: "standalone" });
  }

  #first(ability: Ability): Channel | undefined {
    return this.#channels.find((channel) => channel.can(ability));
  }

  #giveUpBridge(): void {
    if (this.#snapshot.link === "connecting" && window.openai !== undefined) this.#change({ link: "openai" });
  }

  /** A call made while it is still open which channel leads to the host waits for that. */
  #settled(): Promise<void> {
    if (this.#snapshot.link !== "connecting") return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.subscribe(() => {
        if (this.#snapshot.link === "connecting") return;
        stop();
        resolve();
      });
    });
  }

  #listen(merge: (change: Partial<HostContext>) => void): Listener {
    return {
      context: (change) => {
        merge(change);
        this.#change({ context: { ...NO_CONTEXT, ...this.#fromOpenAi, ...this.#fromBridge } });
      },
      // The bridge's result may lack `_meta` that `window.openai` has, and the other way round.
      result: (result) => this.#change({ result: { ...result, meta: this.#meta(result) } }),
      state: (state) => this.#change({ state }),
      teardown: () => this.#teardown(),
    };
  }

  #meta(result: ToolResult): Fields {
    const before = this.#snapshot.result;
    const same = before !== null && JSON.stringify(before.structured) === JSON.stringify(result.structured);
    return same ? { ...before.meta, ...result.meta } : result.meta;
  }

  #change(change: Partial<Snapshot>): void {
    if (this.#snapshot.link === "closed") return;
    const before = this.#snapshot;
    // A `window.openai` that comes late is a host as good as one that was there.
    const link = change.link ?? (before.link === "silent" && window.openai !== undefined ? "openai" : before.link);
    const canCall = this.#first("callTool") !== undefined;
    const canMessage = this.#first("sendMessage") !== undefined;
    this.#snapshot = { ...before, ...change, link, canCall, canMessage };
    if (this.#snapshot.context !== before.context) applyContext(this.#snapshot.context, before.context);
    if (link !== before.link) {
      this.#size = "";
      this.#sendSize();
    }
    for (const listener of [...this.#listeners]) listener();
  }

  #teardown(): void {
    this.#keep();
    this.#change({ link: "closed" });
    this.#resize?.disconnect();
    // The bridge still has to answer the host, so it is closed a turn later.
    setTimeout(() => this.#channels.forEach((channel) => channel.close()));
  }

  #reportSizes(): void {
    this.#resize = new ResizeObserver(() => this.#sendSize());
    this.#resize.observe(document.body);
  }

  /** The body ends where the content ends; the document itself is never smaller than the frame. */
  #sendSize(): void {
    const channel = this.#first("reportSize");
    if (channel === undefined || this.#snapshot.context.displayMode === "fullscreen") return;
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    const size = `${window.innerWidth} ${height}`;
    if (size === this.#size) return;
    this.#size = size;
    channel.reportSize(window.innerWidth, height);
  }
}
