// What the host says about where the page is shown, and how the document follows it.

export type DisplayMode = "inline" | "fullscreen" | "pip";
export type Theme = "light" | "dark";

export interface Insets {
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly left: number;
}

export interface HostContext {
  /** `null`: the host does not say, so the browser's preference holds. */
  readonly theme: Theme | null;
  readonly locale: string | null;
  readonly timeZone: string | null;
  readonly displayMode: DisplayMode;
  readonly displayModes: readonly DisplayMode[];
  readonly insets: Insets;
  /** CSS pixels the host gives the page at most; `null` when it does not say. */
  readonly maxHeight: number | null;
  readonly variables: Readonly<Record<string, string>>;
  /** The tool whose result the page shows, and its arguments. */
  readonly tool: string | null;
  readonly input: Readonly<Record<string, unknown>> | null;
}

export const NO_CONTEXT: HostContext = {
  theme: null,
  locale: null,
  timeZone: null,
  displayMode: "inline",
  displayModes: [],
  insets: { top: 0, right: 0, bottom: 0, left: 0 },
  maxHeight: null,
  variables: {},
  tool: null,
  input: null,
};

/** Makes the document follow the host. Fonts a host offers are left alone: the page fetches nothing. */
export function applyContext(context: HostContext, previous: HostContext): void {
  const root = document.documentElement;
  if (context.theme === null) delete root.dataset["theme"];
  else root.dataset["theme"] = context.theme;
  root.dataset["displayMode"] = context.displayMode;
  for (const side of ["top", "right", "bottom", "left"] as const) {
    root.style.setProperty(`--inset-${side}`, `${context.insets[side]}px`);
  }
  for (const name of Object.keys(previous.variables)) {
    if (!(name in context.variables)) root.style.removeProperty(name);
  }
  for (const [name, value] of Object.entries(context.variables)) root.style.setProperty(name, value);
}

export function theme(value: unknown): Theme | undefined {
  return value === "light" || value === "dark" ? value : undefined;
}

export function displayMode(value: unknown): DisplayMode | undefined {
  return value === "inline" || value === "fullscreen" || value === "pip" ? value : undefined;
}
