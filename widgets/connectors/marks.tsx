// Drawings that stand for values: a state's shape, a sparkline, a bar.

import type { State } from "./dashboard.ts";

/** Each state has a shape of its own, so that nothing depends on colour. */
const SHAPES: Readonly<Record<State, string>> = {
  up: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13z M5 8.3l2.1 2.1 4-4.4",
  starting: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13z M8 4.8V8l2.2 1.6",
  degraded: "M8 1.8L15 14H1z M8 6.4v3.4 M8 11.9v.1",
  down: "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z M5.8 5.8l4.4 4.4 M10.2 5.8l-4.4 4.4",
  unavailable: "M8 1.2L14.8 8 8 14.8 1.2 8z M8 5.2v3.4 M8 10.6v.1",
  disabled: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 0 1 0-13z M5 8h6",
};

export function StateShape({ state }: { state: State }) {
  const [outline, ...inside] = SHAPES[state].split(" M");
  return (
    <svg className="shape" data-state={state} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path className="shape-outline" d={outline} />
      <path className="shape-inside" d={inside.map((part) => `M${part}`).join(" ")} />
    </svg>
  );
}

const WIDTH = 96;
const HEIGHT = 24;
const MARGIN = 3;

/** The course of some numbers, oldest first. `label` says it in words. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  if (values.length < 2) return <span className="spark spark-empty" aria-hidden="true" />;
  const low = Math.min(...values);
  const high = Math.max(...values);
  // A course without ups and downs runs along the middle, and small ones are not blown up to the full height.
  const span = Math.max(high - low, high * 0.25, Number.EPSILON);
  const floor = (high + low) / 2 - span / 2;
  const x = (index: number) => (index / (values.length - 1)) * (WIDTH - MARGIN);
  const y = (value: number) => HEIGHT - MARGIN - ((value - floor) / span) * (HEIGHT - 2 * MARGIN);
  const points = values.map((value, index) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  const last = values.length - 1;
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label} focusable="false">
      <path className="spark-area" d={`${line}L${x(last)} ${HEIGHT}L${x(0)} ${HEIGHT}Z`} />
      <path className="spark-line" d={line} />
      <circle className="spark-end" cx={x(last).toFixed(1)} cy={y(values[last] ?? 0).toFixed(1)} r="2.2" />
    </svg>
  );
}

/** How much of the largest; the number stands beside it. */
export function Bar({ share }: { share: number }) {
  return (
    <span className="bar" aria-hidden="true">
      <span style={{ inlineSize: `${Math.max(share > 0 ? 3 : 0, Math.round(share * 100))}%` }} />
    </span>
  );
}
