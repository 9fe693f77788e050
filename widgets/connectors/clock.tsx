// Text that goes with the time. One timer serves all of it, and only text that became another is written.

import { useLayoutEffect, useRef } from "react";

type Tick = (now: number) => void;

const ticks = new Set<Tick>();
let timer: ReturnType<typeof setInterval> | undefined;
let skew = 0;

/** Server time, as far as it is known. */
export function now(): number {
  return Date.now() + skew;
}

export function setSkew(milliseconds: number): void {
  skew = milliseconds;
}

function onTick(tick: Tick): () => void {
  ticks.add(tick);
  timer ??= setInterval(() => {
    if (document.visibilityState !== "visible") return;
    const at = now();
    for (const each of ticks) each(at);
  }, 1000);
  return () => {
    ticks.delete(tick);
    if (ticks.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Shows `text(now)`, second by second. */
export function Ticking({ text, className }: { text: (now: number) => string; className?: string }) {
  const place = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const write = (at: number) => {
      const told = text(at);
      if (place.current !== null && place.current.textContent !== told) place.current.textContent = told;
    };
    write(now());
    return onTick(write);
  });
  return <span ref={place} className={className} />;
}

/** A ring that empties until `end`. */
export function Ring({ end, seconds }: { end: number; seconds: number }) {
  const place = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const write = (at: number) => {
      const left = Math.min(1, Math.max(0, (end - at) / 1000 / seconds));
      place.current?.style.setProperty("--left", left.toFixed(3));
    };
    write(now());
    return onTick(write);
  });
  return <span ref={place} className="ring" aria-hidden="true" />;
}
