// What is open in the rows and what their samples gave. It belongs to connectors by id, so a refresh leaves it alone.

import { useMemo, useRef, useState, type RefObject } from "react";
import type { Feed } from "./feed.ts";
import { duration } from "./format.ts";
import type { RowActions } from "./row.tsx";
import type { SampleState } from "./sample.tsx";
import type { Words } from "./texts.ts";

interface Rows {
  readonly opened: ReadonlySet<string>;
  readonly samples: ReadonlyMap<string, SampleState>;
  /** The same object for as long as the words are the same, so that rows need not be drawn again. */
  readonly actions: RowActions;
}

export function useRows(feed: Feed, words: Words, page: RefObject<HTMLElement | null>, say: (text: string) => void): Rows {
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const [samples, setSamples] = useState<ReadonlyMap<string, SampleState>>(new Map());
  const running = useRef(new Set<string>());
  const actions = useMemo<RowActions>(() => {
    return {
      say,
      toggle: (id) =>
        setOpened((before) => {
          const after = new Set(before);
          if (!after.delete(id)) after.add(id);
          return after;
        }),
      closeSample: (id) => {
        setSamples((before) => new Map([...before].filter(([other]) => other !== id)));
        const row = page.current?.querySelector(`[data-connector="${CSS.escape(id)}"]`);
        (row?.querySelector<HTMLElement>(".run") ?? row?.querySelector<HTMLElement>(".opener"))?.focus();
      },
      run: async (connector) => {
        if (running.current.has(connector.id)) return;
        running.current.add(connector.id);
        setSamples((before) => new Map(before).set(connector.id, { running: true, run: before.get(connector.id)?.run ?? null }));
        const run = await feed
          .run(connector)
          .catch((error: unknown) => ({ ok: false, output: error instanceof Error ? error.message : String(error), ms: null, requestId: null }));
        running.current.delete(connector.id);
        setSamples((before) => new Map(before).set(connector.id, { running: false, run }));
        say(words.text("finished", { connector: connector.name, outcome: words.text(run.ok ? "ok" : "notOk"), time: duration(words, run.ms) }));
      },
    };
  }, [feed, words]);
  return { opened, samples, actions };
}
