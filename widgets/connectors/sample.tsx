// What a connector's sample gave: whether it worked, how long it took, its text, and the request's id to quote.

import { useRef, useState } from "react";
import { Icon } from "../host/parts.tsx";
import type { Connector } from "./dashboard.ts";
import type { SampleRun } from "./feed.ts";
import { duration } from "./format.ts";
import type { RowActions } from "./row.tsx";
import type { Words } from "./texts.ts";

export interface SampleState {
  readonly running: boolean;
  /** The last run; it stays while the next one is on its way. */
  readonly run: SampleRun | null;
}

export function SamplePanel({ connector, sample, words, actions }: { connector: Connector; sample: SampleState; words: Words; actions: RowActions }) {
  const { run, running } = sample;
  const outcome = run === null ? null : run.ok;
  return (
    <section className="sample" aria-label={words.text("sampleResult", { connector: connector.name })} aria-busy={running} data-testid="sample" data-ok={outcome ?? undefined}>
      <header>
        {running || run === null ? (
          <span className="outcome">{words.text("running")}</span>
        ) : (
          <span className="outcome" data-ok={run.ok}>
            <Icon name={run.ok ? "check" : "alert"} />
            {words.text(run.ok ? "ok" : "notOk")}
          </span>
        )}
        {connector.sample !== null && <span className="sample-title">{connector.sample.title}</span>}
        {run?.ms != null && <span className="sample-time numeric">{duration(words, run.ms)}</span>}
        <button type="button" className="button button-icon button-plain" aria-label={words.text("close")} title={words.text("close")} onClick={() => actions.closeSample(connector.id)}>
          <Icon name="close" />
        </button>
      </header>
      {run !== null && (
        <pre tabIndex={0} dir="auto" data-testid="sample-output">
          {run.output === "" ? words.text("noOutput") : readable(run.output)}
        </pre>
      )}
      {run?.requestId != null && <RequestId id={run.requestId} words={words} say={actions.say} />}
    </section>
  );
}

function RequestId({ id, words, say }: { id: string; words: Words; say: (text: string) => void }) {
  const place = useRef<HTMLElement>(null);
  const [told, tell] = useState("");
  const copy = async () => {
    const done = words.text(place.current !== null && (await copied(place.current, id)) ? "copied" : "selected");
    tell(done);
    say(done);
  };
  return (
    <footer>
      <span className="label">{words.text("requestId")}</span>
      <code ref={place} dir="ltr" data-testid="request-id">
        {id}
      </code>
      <button type="button" className="button button-icon button-plain" aria-label={words.text("copy")} title={words.text("copy")} onClick={() => void copy()}>
        <Icon name="copy" />
      </button>
      <span className="told">{told}</span>
    </footer>
  );
}

/** Only Chromium tells beforehand; asking it spares the console an error. */
type PolicyDocument = Document & { featurePolicy?: { allowsFeature(name: string): boolean } };

/** A sandbox may forbid the clipboard. Then the text is selected, and copied the old way where that still works. */
async function copied(element: HTMLElement, text: string): Promise<boolean> {
  try {
    if ((document as PolicyDocument).featurePolicy?.allowsFeature("clipboard-write") === false) throw new Error("forbidden");
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection()?.selectAllChildren(element);
    return document.execCommand("copy");
  }
}

/** JSON is laid out; any other text stays as it came. */
function readable(output: string): string {
  if (!/^\s*[[{]/.test(output)) return output;
  try {
    return JSON.stringify(JSON.parse(output), null, 2);
  } catch {
    return output;
  }
}
