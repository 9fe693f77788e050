// Values as the dashboard writes them.

import type { Key, Words } from "./texts.ts";

const MILLISECONDS: Intl.NumberFormatOptions = { style: "unit", unit: "millisecond", unitDisplay: "short", maximumSignificantDigits: 3 };
const SECONDS: Intl.NumberFormatOptions = { style: "unit", unit: "second", unitDisplay: "narrow", maximumSignificantDigits: 3 };
const COMPACT: Intl.NumberFormatOptions = { notation: "compact", maximumSignificantDigits: 3 };
const SHARE: Intl.NumberFormatOptions = { style: "percent", maximumSignificantDigits: 2 };

export const NOTHING = "–";

export function duration(words: Words, milliseconds: number | null): string {
  if (milliseconds === null) return NOTHING;
  return milliseconds < 1000 ? words.number(milliseconds, MILLISECONDS) : words.number(milliseconds / 1000, SECONDS);
}

/** In full while it is short enough to be read at a glance. */
export function amount(words: Words, value: number): string {
  return Math.abs(value) < 100_000 ? words.number(value) : words.number(value, COMPACT);
}

export function share(words: Words, part: number, whole: number): string {
  return words.number(whole === 0 ? 0 : part / whole, SHARE);
}

export function moment(words: Words, at: number | null, timeZone: string | null): string {
  if (at === null) return NOTHING;
  const style: Intl.DateTimeFormatOptions = { dateStyle: "medium", timeStyle: "medium" };
  try {
    return new Intl.DateTimeFormat(words.tag, { ...style, ...(timeZone === null ? {} : { timeZone }) }).format(at);
  } catch {
    return new Intl.DateTimeFormat(words.tag, style).format(at);
  }
}

const KINDS: ReadonlySet<string> = new Set<Key>(["http", "command", "mcp", "collection", "gateway"]);

/** A kind this page does not know yet is named as the server names it. */
export function kind(words: Words, name: string): string {
  return KINDS.has(name) ? words.text(name as Key) : name;
}
