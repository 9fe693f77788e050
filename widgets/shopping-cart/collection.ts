// A collection as the server describes it, and what an operation does to its items. Values in, values out.

import { isFields, type Fields, type ToolResult } from "../host/result.ts";

export type Item = Fields;
export type ToolKind = "add" | "update" | "remove" | "list" | "clear";

export interface Collection {
  readonly items: readonly Item[];
  /** The item's member that names it. */
  readonly key: string;
  /** `null`: the host kept the description back, so the collection can only be read. */
  readonly tools: Readonly<Partial<Record<ToolKind, string>>> | null;
  /** The argument that names the collection, and its value; both or neither are needed. */
  readonly argument: string | null;
  readonly id: string | null;
  readonly version: number;
  readonly maxItems: number | null;
}

export type Operation =
  | { readonly kind: "add"; readonly items: readonly Item[] }
  | { readonly kind: "update"; readonly items: readonly Item[] }
  | { readonly kind: "remove"; readonly keys: readonly string[] }
  | { readonly kind: "list" }
  | { readonly kind: "clear" };

const META = "switchboard/collection";

/** `null` when the result holds no collection. What a result leaves out is as it was before. */
export function collection(result: ToolResult, before: Collection | null): Collection | null {
  const items = result.structured?.["items"];
  if (!Array.isArray(items)) return null;
  const meta = isFields(result.meta[META]) ? result.meta[META] : {};
  const argument = text(meta["argument"]) ?? before?.argument ?? null;
  const told = argument === null ? undefined : result.structured?.[argument];
  return {
    items: items.filter(isFields),
    key: text(meta["key"]) ?? before?.key ?? "name",
    tools: isFields(meta["tools"]) ? (meta["tools"] as Collection["tools"]) : (before?.tools ?? null),
    argument,
    id: text(meta["id"]) ?? text(told) ?? before?.id ?? null,
    version: typeof meta["version"] === "number" ? meta["version"] : (before?.version ?? 0),
    maxItems: typeof meta["maxItems"] === "number" ? meta["maxItems"] : (before?.maxItems ?? null),
  };
}

export function keyOf(collection: Collection, item: Item): string {
  return String(item[collection.key] ?? "");
}

export function quantityOf(item: Item): number {
  return typeof item["quantity"] === "number" ? item["quantity"] : 1;
}

export function argumentsOf(collection: Collection, operation: Operation): Fields {
  const named = collection.argument !== null && collection.id !== null ? { [collection.argument]: collection.id } : {};
  switch (operation.kind) {
    case "add":
    case "update":
      return { items: operation.items, ...named };
    case "remove":
      return { keys: operation.keys, ...named };
    case "list":
    case "clear":
      return named;
  }
}

/** What the items will most likely be afterwards; the server's answer replaces it. */
export function foresee(collection: Collection, operation: Operation): Collection {
  switch (operation.kind) {
    case "add":
      return operation.items.reduce(withAdded, collection);
    case "update":
      return { ...collection, items: collection.items.map((item) => ({ ...item, ...changeOf(collection, operation.items, item) })) };
    case "remove":
      return { ...collection, items: collection.items.filter((item) => !operation.keys.includes(keyOf(collection, item))) };
    case "clear":
      return { ...collection, items: [] };
    case "list":
      return collection;
  }
}

function withAdded(collection: Collection, added: Item): Collection {
  const alike = (item: Item) => keyOf(collection, item).toLowerCase() === keyOf(collection, added).toLowerCase();
  if (!collection.items.some(alike)) return { ...collection, items: [...collection.items, added] };
  const merged = (item: Item) => ({ ...added, ...item, quantity: quantityOf(item) + quantityOf(added) });
  return { ...collection, items: collection.items.map((item) => (alike(item) ? merged(item) : item)) };
}

function changeOf(collection: Collection, changes: readonly Item[], item: Item): Item {
  return changes.find((change) => keyOf(collection, change) === keyOf(collection, item)) ?? {};
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
