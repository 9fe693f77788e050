// The cart between the page and the server: shows at once what an operation will do, and takes it back when it fails.

import type { ToolResult } from "../host/result.ts";
import { argumentsOf, collection, foresee, keyOf, type Collection, type Operation } from "./collection.ts";

export type Call = (tool: string, args: Readonly<Record<string, unknown>>) => Promise<ToolResult>;

export interface Failure {
  readonly operation: Operation;
  /** What the server or the host said; may be empty. */
  readonly text: string;
  /** The server does not know the collection any more. */
  readonly lost: boolean;
}

export interface BasketSnapshot {
  /** As foreseen: the server's last word with the waiting operations on top. */
  readonly collection: Collection | null;
  readonly busy: boolean;
  readonly failure: Failure | null;
}

export class Basket {
  #call: Call;
  #adopted: ToolResult | null = null;
  #confirmed: Collection | null = null;
  #waiting: Operation[] = [];
  #running = false;
  #failure: Failure | null = null;
  #listeners = new Set<() => void>();
  #snapshot: BasketSnapshot = { collection: null, busy: false, failure: null };

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly snapshot = (): BasketSnapshot => this.#snapshot;

  constructor(call: Call) {
    this.#call = call;
  }

  /** Takes what the host shows. A host may repeat an old result, which must not undo a newer one. */
  adopt(result: ToolResult | null): void {
    if (result === null || result === this.#adopted) return;
    this.#adopted = result;
    const before = this.#confirmed;
    const next = collection(result, before);
    if (next === null) return;
    if (before !== null && before.id === next.id && next.version < before.version) return;
    this.#confirmed = next;
    this.#publish();
  }

  can(kind: Operation["kind"]): boolean {
    return this.#confirmed?.tools?.[kind] !== undefined;
  }

  /** One call at a time, in order. A change of an item that still waits gives way to a later one. */
  run(operation: Operation): void {
    this.#failure = null;
    const last = this.#waiting.at(-1);
    const replaces = this.#waiting.length > (this.#running ? 1 : 0) && last !== undefined && this.#sameUpdate(last, operation);
    if (replaces) this.#waiting.pop();
    this.#waiting.push(operation);
    void this.#drain();
    this.#publish();
  }

  /** Asks for the collection as it is now, unless the answer is on its way anyway. */
  refresh(): void {
    if (this.#waiting.length === 0 && this.#failure === null && this.can("list")) this.run({ kind: "list" });
  }

  dismiss(): void {
    this.#failure = null;
    this.#publish();
  }

  /** Leaves a collection the server has forgotten, and puts its items into a new one. */
  startNew(): void {
    if (this.#confirmed === null) return;
    const { items } = this.#confirmed;
    this.#failure = null;
    this.#confirmed = { ...this.#confirmed, id: null, version: 0, items: [] };
    if (items.length > 0) this.run({ kind: "add", items });
    else this.#publish();
  }

  #sameUpdate(first: Operation, second: Operation): boolean {
    if (first.kind !== "update" || second.kind !== "update" || this.#confirmed === null) return false;
    const [one, other] = [first.items[0], second.items[0]];
    return one !== undefined && other !== undefined && keyOf(this.#confirmed, one) === keyOf(this.#confirmed, other);
  }

  async #drain(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let operation = this.#waiting[0]; operation !== undefined; operation = this.#waiting[0]) {
      const failure = await this.#perform(operation);
      this.#waiting.shift();
      if (failure !== null) {
        // What waited was meant for a state that never came about.
        this.#waiting = [];
        this.#failure = failure;
      }
      this.#publish();
    }
    this.#running = false;
    this.#publish();
  }

  async #perform(operation: Operation): Promise<Failure | null> {
    const before = this.#confirmed;
    const tool = before?.tools?.[operation.kind];
    if (before === null || tool === undefined) return { operation, text: "", lost: false };
    try {
      const result = await this.#call(tool, argumentsOf(before, operation));
      const next = result.failed ? null : collection(result, before);
      if (next === null) return { operation, text: result.text, lost: operation.kind === "list" || (await this.#isLost(before)) };
      this.#confirmed = next;
      return null;
    } catch (error) {
      await this.#isLost(before);
      return { operation, text: error instanceof Error ? error.message : String(error), lost: false };
    }
  }

  /** After a failure the list tells what holds now; when even that is refused, the collection is gone. */
  async #isLost(before: Collection): Promise<boolean> {
    const tool = before.tools?.list;
    if (tool === undefined || before.id === null) return false;
    try {
      const result = await this.#call(tool, argumentsOf(before, { kind: "list" }));
      const next = result.failed ? null : collection(result, before);
      if (next !== null) this.#confirmed = next;
      return result.failed;
    } catch {
      return false;
    }
  }

  #publish(): void {
    const confirmed = this.#confirmed;
    this.#snapshot = {
      collection: confirmed === null ? null : this.#waiting.reduce(foresee, confirmed),
      busy: this.#running,
      failure: this.#failure,
    };
    for (const listener of [...this.#listeners]) listener();
  }
}
