// Texts in the reader's language: the best match of a catalogue, with numbers and plurals by its rules.

export type Plural = Readonly<Partial<Record<Intl.LDMLPluralRule, string>> & { other: string }>;
export type Message = string | Plural;

/** Texts by key, in one language. `{name}` stands for a value; a plural is chosen by the value `count`. */
export type Texts<Key extends string> = Readonly<Record<Key, Message>>;

export type Values = Readonly<Record<string, string | number>>;

export interface Language<Key extends string> {
  /** The tag that numbers and times are formatted by. */
  readonly tag: string;
  text(key: Key, values?: Values): string;
  number(value: number, options?: Intl.NumberFormatOptions): string;
  /** "5s ago", from seconds. */
  ago(seconds: number): string;
  /** "4:32", from seconds. */
  clock(seconds: number): string;
}

const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);

/** The catalogue's language for a locale, else English. The document is marked as being in it. */
export function language<Key extends string>(locale: string | null, catalogue: Readonly<Record<string, Texts<Key>> & { en: Texts<Key> }>): Language<Key> {
  const wanted = valid(locale) ?? valid(navigator.language) ?? "en";
  const base = new Intl.Locale(wanted).language;
  const found = catalogue[base];
  const [tag, texts] = found === undefined ? ["en", catalogue.en] : [wanted, found];
  document.documentElement.lang = tag;
  document.documentElement.dir = found !== undefined && RIGHT_TO_LEFT.has(base) ? "rtl" : "ltr";

  const plurals = new Intl.PluralRules(tag);
  const narrow = new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "narrow" });
  // Some languages shorten "5 seconds ago" to "-5 s", which reads as a mistake.
  const signed = /[-−]/.test(narrow.format(-5, "second"));
  const relative = signed ? new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" }) : narrow;
  const twoDigits = new Intl.NumberFormat(tag, { minimumIntegerDigits: 2 });
  const formats = new Map<Intl.NumberFormatOptions | undefined, Intl.NumberFormat>();

  const number = (value: number, options?: Intl.NumberFormatOptions): string => {
    let format = formats.get(options);
    if (format === undefined) formats.set(options, (format = new Intl.NumberFormat(tag, options)));
    return format.format(value);
  };
  const text = (key: Key, values: Values = {}): string => {
    const message: Message = texts[key];
    const pattern = typeof message === "string" ? message : (message[plurals.select(Number(values["count"]))] ?? message.other);
    return pattern.replace(/\{(\w+)\}/g, (_place, name: string) => {
      const value = values[name];
      return typeof value === "number" ? number(value) : (value ?? "");
    });
  };
  const ago = (seconds: number): string => {
    if (seconds < 5) return relative.format(0, "second");
    if (seconds < 60) return relative.format(-Math.floor(seconds / 5) * 5, "second");
    if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
    if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3600), "hour");
    return relative.format(-Math.floor(seconds / 86_400), "day");
  };
  const clock = (seconds: number): string => {
    const whole = Math.max(0, Math.ceil(seconds));
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    const tail = twoDigits.format(whole % 60);
    return hours === 0 ? `${number(minutes)}:${tail}` : `${number(hours)}:${twoDigits.format(minutes)}:${tail}`;
  };
  return { tag, text, number, ago, clock };
}

/** Hosts also send "en_US". */
function valid(locale: string | null): string | null {
  try {
    return locale === null || locale === "" ? null : new Intl.Locale(locale.replaceAll("_", "-")).toString();
  } catch {
    return null;
  }
}
