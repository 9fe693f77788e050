// Where the dashboard comes from: a host whose tool is called again and again, or the server's own event stream.

import type { Host } from "../host/host.ts";
import { isFields, type Fields, type ToolResult } from "../host/result.ts";
import { dashboard, isNews, type Connector, type Dashboard } from "./dashboard.ts";

export interface SampleRun {
  readonly ok: boolean;
  readonly output: string;
  readonly ms: number | null;
  readonly requestId: string | null;
}

export interface FeedSnapshot {
  readonly dashboard: Dashboard | null;
  readonly previous: Dashboard | null;
  /** What the last attempt failed with; `null` when it did not. Empty when there are no words for it. */
  readonly failure: string | null;
  readonly refreshing: boolean;
  /** Server time less browser time, in milliseconds. */
  readonly skew: number;
  readonly canRefresh: boolean;
  readonly canRun: boolean;
}

const SOONEST_MS = 10_000;
const LATEST_MS = 120_000;

/** A host that opens an old chat shows the dashboard of then; from this age on it is asked for anew at once. */
const OLD_MS = 60_000;
const AT_ONCE_MS = 500;

/** What both kinds of feed share: the latest dashboard and who wants to hear of it. */
abstract class Feed {
  #listeners = new Set<() => void>();
  #snapshot: FeedSnapshot = { dashboard: null, previous: null, failure: null, refreshing: false, skew: 0, canRefresh: false, canRun: false };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly snapshot = (): FeedSnapshot => this.#snapshot;

  abstract refresh(): void;
  abstract run(connector: Connector): Promise<SampleRun>;
  abstract close(): void;

  protected change(change: Partial<FeedSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of [...this.#listeners]) listener();
  }

  /** Takes a dashboard over; says whether it tells something new. `live`: it was made just now, so its clock counts. */
  protected take(value: unknown, live: boolean): boolean | null {
    const before = this.#snapshot.dashboard;
    const now = dashboard(value, before);
    if (now === null) return null;
    if (!live && before !== null && now.generatedAt < before.generatedAt) return false;
    this.change({ dashboard: now, previous: before, failure: null, ...(live ? { skew: now.generatedAt - Date.now() } : {}) });
    return isNews(before, now);
  }
}

export type { Feed };

/** Inside a host. Calls less and less often while nothing happens, and not at all while nobody looks. */
export class PolledFeed extends Feed {
  #host: Host;
  #tools: Fields = {};
  #waitMs = SOONEST_MS;
  #timer: number | undefined;
  #seen: ToolResult | null = null;
  #closed = false;

  constructor(host: Host) {
    super();
    this.#host = host;
    host.subscribe(this.#follow);
    document.addEventListener("visibilitychange", this.#look);
    this.#follow();
  }

  refresh(): void {
    this.#waitMs = SOONEST_MS;
    void this.#ask();
  }

  async run(connector: Connector): Promise<SampleRun> {
    const began = performance.now();
    const result = await this.#host.callTool(String(this.#tools["sample"]), { connector: connector.id });
    const told = result.structured ?? {};
    if (result.failed && told["output"] === undefined) return { ok: false, output: result.text, ms: null, requestId: null };
    return {
      ok: told["ok"] === true,
      output: typeof told["output"] === "string" ? told["output"] : result.text,
      ms: typeof told["ms"] === "number" ? told["ms"] : performance.now() - began,
      requestId: typeof told["requestId"] === "string" ? told["requestId"] : null,
    };
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#look);
  }

  #follow = (): void => {
    const { link, result, canCall } = this.#host.snapshot();
    if (link === "closed") return this.close();
    const isNew = result !== null && result !== this.#seen;
    if (isNew) {
      this.#seen = result;
      this.#adopt(result);
      this.#waitMs = this.#isOld() ? AT_ONCE_MS : SOONEST_MS;
    }
    this.change({ canRefresh: canCall && this.#tool() !== null, canRun: canCall && typeof this.#tools["sample"] === "string" });
    if (isNew || (this.#timer === undefined && result !== null)) this.#schedule();
  };

  #adopt(result: ToolResult, live = false): boolean {
    const tools = result.meta["switchboard/tools"];
    if (isFields(tools)) this.#tools = tools;
    if (result.failed) {
      this.change({ failure: result.text });
      return false;
    }
    const news = this.take(result.structured, live);
    if (news === null) this.change({ failure: "" });
    return news === true;
  }

  /** Without the server's word the tool that made this page stands in: it is the one that shows connectors. */
  #tool(): string | null {
    const told = this.#tools["connectors"];
    return typeof told === "string" ? told : this.#host.snapshot().context.tool;
  }

  #look = (): void => {
    if (document.visibilityState === "visible") this.refresh();
    else clearTimeout(this.#timer);
  };

  #isOld(): boolean {
    const { dashboard } = this.snapshot();
    return dashboard !== null && Date.now() - dashboard.generatedAt > OLD_MS;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed || !this.snapshot().canRefresh || document.visibilityState !== "visible") return;
    this.#timer = window.setTimeout(() => void this.#ask(), this.#waitMs);
  }

  async #ask(): Promise<void> {
    const tool = this.#tool();
    if (this.snapshot().refreshing || tool === null || this.#closed) return;
    clearTimeout(this.#timer);
    this.change({ refreshing: true });
    let news = false;
    try {
      news = this.#adopt(await this.#host.callTool(tool, {}), true);
    } catch (error) {
      this.change({ failure: error instanceof Error ? error.message : String(error) });
    }
    this.#waitMs = news ? SOONEST_MS : Math.min(Math.max(this.#waitMs, SOONEST_MS) * 2, LATEST_MS);
    this.change({ refreshing: false });
    this.#schedule();
  }
}

/** Relative, because the server may stand under a path prefix. */
const STREAM = "../../v1/connectors/stream";

const RECONNECT_MS = 1_000;

/** Without a host. The stream is open only while somebody looks. */
export class StreamedFeed extends Feed {
  #host: Host;
  #stream: EventSource | null = null;
  #waitMs = RECONNECT_MS;
  #timer: number | undefined;

  constructor(host: Host) {
    super();
    this.#host = host;
    document.addEventListener("visibilitychange", this.#look);
    this.change({ canRefresh: true, canRun: true });
    this.#open();
  }

  /** The stream begins with the state of things, so opening it anew is asking anew. */
  refresh(): void {
    this.#waitMs = RECONNECT_MS;
    this.#open();
  }

  async run(connector: Connector): Promise<SampleRun> {
    if (connector.sample === null) throw new Error("there is nothing to try");
    const began = performance.now();
    const result = await this.#host.callTool(connector.sample.tool, connector.sample.arguments);
    const output = result.text === "" ? JSON.stringify(result.structured) : result.text;
    return { ok: !result.failed, output, ms: performance.now() - began, requestId: result.requestId };
  }

  close(): void {
    this.#shut();
    document.removeEventListener("visibilitychange", this.#look);
  }

  #look = (): void => {
    if (document.visibilityState === "visible") this.refresh();
    else this.#shut();
  };

  #open(): void {
    this.#shut();
    if (document.visibilityState !== "visible") return;
    this.change({ refreshing: true });
    const stream = (this.#stream = new EventSource(STREAM));
    stream.addEventListener("status", (event: MessageEvent<string>) => this.#receive(event.data));
    stream.onerror = () => this.#broken(stream);
  }

  #shut(): void {
    clearTimeout(this.#timer);
    this.#stream?.close();
    this.#stream = null;
  }

  #receive(data: string): void {
    let value: unknown;
    try {
      value = JSON.parse(data);
    } catch {
      value = null;
    }
    this.#waitMs = RECONNECT_MS;
    if (!isFields(value) || this.take(value["dashboard"], true) === null) this.change({ failure: "" });
    this.change({ refreshing: false });
  }

  /** The browser tries again by itself after a lost connection, but never after an answer that was no stream. */
  #broken(stream: EventSource): void {
    this.change({ failure: "", refreshing: false });
    if (stream.readyState !== EventSource.CLOSED) return;
    this.#waitMs = Math.min(this.#waitMs * 2, LATEST_MS);
    this.#timer = window.setTimeout(() => this.#open(), this.#waitMs);
  }
}
