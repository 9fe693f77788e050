// What the gateway says about its connectors, read with care, grouped and filtered. Values in, values out.

import { isFields, type Fields } from "../host/result.ts";

export const STATES = ["up", "starting", "degraded", "down", "unavailable", "disabled"] as const;
export type State = (typeof STATES)[number];

export interface Sample {
  readonly title: string;
  readonly tool: string;
  readonly arguments: Fields;
}

export interface Connector {
  readonly id: string;
  readonly name: string;
  readonly category: string | null;
  readonly version: string;
  readonly description: string | null;
  readonly kind: string;
  readonly state: State;
  readonly reason: string | null;
  readonly endpoint: string | null;
  /** Times are milliseconds since 1970. */
  readonly since: number | null;
  readonly checkedAt: number | null;
  readonly expiresAt: number | null;
  readonly retryAt: number | null;
  readonly ttlSeconds: number | null;
  readonly latencyMs: number | null;
  readonly latencyP50Ms: number | null;
  readonly latencyP95Ms: number | null;
  /** Oldest first. */
  readonly latencies: readonly number[];
  readonly calls: number;
  readonly errors: number;
  readonly tools: number;
  readonly tokens: number;
  readonly sample: Sample | null;
}

export interface Dashboard {
  readonly generatedAt: number;
  readonly version: string;
  readonly totals: { readonly connectors: number; readonly online: number; readonly tools: number; readonly tokens: number; readonly calls: number; readonly errors: number };
  readonly connectors: readonly Connector[];
}

/** `null` when the value is no dashboard. A connector that has not changed stays the same object. */
export function dashboard(value: unknown, before: Dashboard | null): Dashboard | null {
  if (!isFields(value) || !Array.isArray(value["connectors"])) return null;
  const known = new Map(before?.connectors.map((connector) => [connector.id, connector]));
  const connectors = value["connectors"].filter(isFields).map((fields) => {
    const read = connector(fields);
    const old = known.get(read.id);
    return old !== undefined && JSON.stringify(old) === JSON.stringify(read) ? old : read;
  });
  const totals = isFields(value["totals"]) ? value["totals"] : {};
  const sum = (of: (connector: Connector) => number) => connectors.reduce((total, one) => total + of(one), 0);
  return {
    generatedAt: time(value["generatedAt"]) ?? Date.now(),
    version: text(value["version"]) ?? "",
    totals: {
      connectors: number(totals["connectors"]) ?? connectors.length,
      online: number(totals["online"]) ?? connectors.filter((one) => one.state === "up").length,
      tools: number(totals["tools"]) ?? sum((one) => one.tools),
      tokens: number(totals["tokens"]) ?? sum((one) => one.tokens),
      calls: number(totals["calls"]) ?? sum((one) => one.calls),
      errors: number(totals["errors"]) ?? sum((one) => one.errors),
    },
    connectors,
  };
}

function connector(fields: Fields): Connector {
  const id = text(fields["id"]) ?? "";
  const sample = fields["sample"];
  const state = STATES.find((one) => one === fields["state"]);
  return {
    id,
    name: text(fields["name"]) ?? id,
    category: text(fields["category"]),
    version: text(fields["version"]) ?? "",
    description: text(fields["description"]),
    kind: text(fields["kind"]) ?? "",
    state: state ?? "unavailable",
    reason: text(fields["reason"]),
    endpoint: text(fields["endpoint"]),
    since: time(fields["since"]),
    checkedAt: time(fields["checkedAt"]),
    expiresAt: time(fields["expiresAt"]),
    retryAt: time(fields["retryAt"]),
    ttlSeconds: number(fields["ttlSeconds"]),
    latencyMs: number(fields["latencyMs"]),
    latencyP50Ms: number(fields["latencyP50Ms"]),
    latencyP95Ms: number(fields["latencyP95Ms"]),
    latencies: Array.isArray(fields["latencies"]) ? fields["latencies"].filter((one) => number(one) !== null) : [],
    calls: number(fields["calls"]) ?? 0,
    errors: number(fields["errors"]) ?? 0,
    tools: number(fields["tools"]) ?? 0,
    tokens: number(fields["tokens"]) ?? 0,
    sample:
      isFields(sample) && typeof sample["tool"] === "string"
        ? { title: text(sample["title"]) ?? sample["tool"], tool: sample["tool"], arguments: isFields(sample["arguments"]) ? sample["arguments"] : {} }
        : null,
  };
}

/** Whether something happened. Checks alone are not news, and neither are the calls this page itself makes to the gateway. */
export function isNews(before: Dashboard | null, now: Dashboard): boolean {
  return before === null || newsOf(before) !== newsOf(now);
}

function newsOf(dashboard: Dashboard): string {
  return JSON.stringify(
    dashboard.connectors.map((one) => [one.id, one.state, one.reason, one.version, one.tools, one.kind === "gateway" ? 0 : one.calls, one.errors]),
  );
}

/** Connectors whose state is another than it was. */
export function turned(before: Dashboard | null, now: Dashboard): readonly Connector[] {
  const states = new Map(before?.connectors.map((one) => [one.id, one.state]));
  return now.connectors.filter((one) => states.has(one.id) && states.get(one.id) !== one.state);
}

export interface Filter {
  readonly text: string;
  /** None chosen means all. */
  readonly states: ReadonlySet<State>;
}

export const NO_FILTER: Filter = { text: "", states: new Set() };

export function filtered(connectors: readonly Connector[], filter: Filter): readonly Connector[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return connectors.filter((one) => {
    if (filter.states.size > 0 && !filter.states.has(one.state)) return false;
    if (words.length === 0) return true;
    const told = `${one.id} ${one.name} ${one.category ?? ""} ${one.kind} ${one.endpoint ?? ""} ${one.description ?? ""} ${one.reason ?? ""}`.toLowerCase();
    return words.every((word) => told.includes(word));
  });
}

/** How soon someone should look at it. */
const URGENCY: Readonly<Record<State, number>> = { down: 0, degraded: 1, unavailable: 2, starting: 3, up: 4, disabled: 5 };

/** The few to show where there is little room: what is wrong comes first. */
export function foremost(connectors: readonly Connector[], count: number): readonly Connector[] {
  return [...connectors].sort((one, other) => URGENCY[one.state] - URGENCY[other.state]).slice(0, count);
}

export interface Group {
  /** `null`: those without a category, which come last. */
  readonly category: string | null;
  readonly connectors: readonly Connector[];
  /** Of the whole group, also where only its first connectors are at hand. */
  readonly size: number;
}

export function grouped(connectors: readonly Connector[], tag: string): readonly Group[] {
  const order = new Intl.Collator(tag, { sensitivity: "base", numeric: true });
  const groups = new Map<string | null, Connector[]>();
  for (const one of connectors) {
    const group = groups.get(one.category);
    if (group === undefined) groups.set(one.category, [one]);
    else group.push(one);
  }
  return [...groups]
    .map(([category, members]) => ({ category, connectors: members.sort((one, other) => order.compare(one.name, other.name)), size: members.length }))
    .sort((one, other) => {
      if (one.category === null || other.category === null) return Number(one.category === null) - Number(other.category === null);
      return order.compare(one.category, other.category);
    });
}

/** The first so many connectors of the groups. */
export function leading(groups: readonly Group[], count: number): readonly Group[] {
  const cut: Group[] = [];
  let left = count;
  for (const group of groups) {
    if (left <= 0) break;
    cut.push({ ...group, connectors: group.connectors.slice(0, left) });
    left -= group.connectors.length;
  }
  return cut;
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function time(value: unknown): number | null {
  const at = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(at) ? null : at;
}
