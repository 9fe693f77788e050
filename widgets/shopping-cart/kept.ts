// What outlives the page: the draft in the form, what is ticked off, and how new the cart was that was seen last.

import type { WidgetState } from "../host/channel.ts";
import type { Host } from "../host/host.ts";
import { useHost } from "../host/parts.tsx";
import type { Draft } from "./form.tsx";

export interface Kept {
  readonly draft: Draft;
  readonly ticked: readonly string[];
  /** Of the collection, as last seen. */
  readonly version: number;
}

/** What the host keeps under the widget. A change builds on what is kept by then, not on what was drawn. */
export function useKept(host: Host): [Kept, (change: (kept: Kept) => Partial<Kept>) => void] {
  const { state } = useHost(host);
  const keep = (change: (kept: Kept) => Partial<Kept>) => {
    const before = keptIn(host.snapshot().state);
    const { draft, ticked, version } = { ...before, ...change(before) };
    host.setState({ modelContent: { tickedOff: ticked }, privateContent: { draft, version } });
  };
  return [keptIn(state), keep];
}

function keptIn({ modelContent, privateContent }: WidgetState): Kept {
  const { draft, version } = privateContent as { draft?: Partial<Draft>; version?: number };
  const { tickedOff } = modelContent;
  return {
    draft: { name: String(draft?.name ?? ""), quantity: Number(draft?.quantity ?? 1) || 1 },
    ticked: Array.isArray(tickedOff) ? tickedOff.map(String) : [],
    version: Number(version ?? 0),
  };
}
