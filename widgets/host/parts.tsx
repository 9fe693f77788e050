// The pieces that all pages are put together from.

import { useSyncExternalStore, type ReactNode } from "react";
import type { Host, Snapshot } from "./host.ts";

export function useHost(host: Host): Snapshot {
  return useSyncExternalStore(host.subscribe, host.snapshot);
}

const PATHS = {
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  trash: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.6M9.2 7v3.6",
  expand: "M9.5 3H13v3.5M13 3L9 7M6.5 13H3V9.5M3 13l4-4",
  shrink: "M13 6.5H9.5V3M9.5 6.5L13.5 2.5M3 9.5h3.5V13M6.5 9.5L2.5 13.5",
  alert: "M8 2.2L14.5 13.5h-13zM8 6.5v3M8 11.6v.1",
  undo: "M6 3.5L2.5 7 6 10.5M2.8 7H10a3.2 3.2 0 0 1 0 6.4H7.5",
  refresh: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5",
  play: "M5 3.2v9.6L12.8 8z",
  copy: "M5.5 5.5h7.5v8H5.5zM3 10.5v-8h7.5",
  check: "M3 8.5l3.2 3.2L13 4.8",
  search: "M7 11.5a4.5 4.5 0 1 1 0-9 4.5 4.5 0 0 1 0 9zM10.4 10.4L14 14",
  chevron: "M6 3.5L10.5 8 6 12.5",
  info: "M8 14A6 6 0 1 1 8 2a6 6 0 0 1 0 12zM8 7.3v3.6M8 5v.1",
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing beside a word, or inside a control that has a name; never the only sign. */
export function Icon({ name, className = "" }: { name: IconName; className?: string }) {
  return (
    <svg className={`icon ${className}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export interface Action {
  readonly label: string;
  readonly run: () => void;
  readonly plain?: boolean;
}

/** A message with ways to go on. A bad one interrupts a screen reader. */
export function Notice({ bad = false, text, actions = [], testId }: { bad?: boolean; text: ReactNode; actions?: readonly Action[]; testId?: string }) {
  return (
    <div className={bad ? "notice notice-bad" : "notice"} role={bad ? "alert" : undefined} data-testid={testId}>
      <Icon name={bad ? "alert" : "info"} />
      <div className="notice-text">{text}</div>
      {actions.length > 0 && (
        <div className="notice-actions">
          {actions.map((action) => (
            <button type="button" className={action.plain ? "button button-plain" : "button"} onClick={action.run}>
              {action.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** Says what changed to a screen reader, after what it is reading now. */
export function Announcement({ text }: { text: string }) {
  return (
    <div className="unseen" role="status" aria-live="polite" data-testid="announcement">
      {text}
    </div>
  );
}

/** The way to full screen and back; nothing where the host offers none. */
export function DisplayModeButton({ host, snapshot, labels }: { host: Host; snapshot: Snapshot; labels: { expand: string; shrink: string } }) {
  const { displayMode, displayModes } = snapshot.context;
  const full = displayMode === "fullscreen";
  const next = full ? "inline" : "fullscreen";
  if (!displayModes.includes(next)) return null;
  const label = full ? labels.shrink : labels.expand;
  const change = () => host.requestDisplayMode(next).catch((error: unknown) => host.log(String(error)));
  return (
    <button type="button" className="button button-icon button-plain" aria-label={label} title={label} onClick={change}>
      <Icon name={full ? "shrink" : "expand"} />
    </button>
  );
}
