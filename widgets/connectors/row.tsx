// One connector: a line of facts, and on demand its details and what its sample gave.

import { memo, useId } from "react";
import { Icon } from "../host/parts.tsx";
import { Ring, Ticking } from "./clock.tsx";
import type { Connector } from "./dashboard.ts";
import { amount, duration, kind, moment, NOTHING } from "./format.ts";
import { Bar, Sparkline, StateShape } from "./marks.tsx";
import { SamplePanel, type SampleState } from "./sample.tsx";
import type { Words } from "./texts.ts";

export interface RowActions {
  toggle(id: string): void;
  run(connector: Connector): void;
  closeSample(id: string): void;
  say(text: string): void;
}

interface RowProps {
  readonly connector: Connector;
  readonly words: Words;
  readonly timeZone: string | null;
  /** Tokens of the connector that has most. */
  readonly mostTokens: number;
  readonly open: boolean;
  readonly sample: SampleState | null;
  readonly canRun: boolean;
  readonly actions: RowActions;
}

/** Drawn again only when one of its values changed, so that hundreds of rows stay quick. */
export const Row = memo(function Row({ connector, words, timeZone, mostTokens, open, sample, canRun, actions }: RowProps) {
  const details = useId();
  const { id, name, state, latencies } = connector;
  const last = latencies.at(-1) ?? connector.latencyMs;
  const course = words.text("latencyCourse", {
    count: latencies.length,
    low: duration(words, Math.min(...latencies)),
    high: duration(words, Math.max(...latencies)),
    last: duration(words, last),
  });
  return (
    <li className="row" data-testid="connector" data-connector={id} data-state={state}>
      <div className="line">
        <div className="who">
          <h3>
            <button type="button" className="opener" aria-expanded={open} aria-controls={open ? details : undefined} onClick={() => actions.toggle(id)}>
              <Icon name="chevron" className="turn" />
              <span className="row-name">{name}</span>
            </button>
          </h3>
          <p className="where">
            {connector.version !== "" && <span className="version numeric">{connector.version} · </span>}
            {connector.endpoint !== null && <bdi className="endpoint">{connector.endpoint}</bdi>}
            <span className="kind">
              {connector.endpoint !== null && " · "}
              {kind(words, connector.kind)}
            </span>
          </p>
        </div>
        <dl className="facts">
          <div className="fact fact-state">
            <dt>{words.text("state")}</dt>
            <dd>
              <span className="state" data-state={state}>
                <StateShape state={state} />
                {words.text(state)}
              </span>
              <span className="small">
                {connector.checkedAt === null ? (
                  words.text("unchecked")
                ) : (
                  <Ticking text={(now) => words.text("checkedAgo", { ago: words.ago((now - (connector.checkedAt ?? now)) / 1000) })} />
                )}
              </span>
            </dd>
          </div>
          <div className="fact fact-latency">
            <dt>{words.text("latency")}</dt>
            <dd>
              <Sparkline values={latencies} label={course} />
              <span className="figures">
                <span className="figure numeric">{duration(words, connector.latencyMs)}</span>
                {connector.latencyP95Ms !== null && <span className="small numeric">{words.text("p95", { value: duration(words, connector.latencyP95Ms) })}</span>}
              </span>
            </dd>
          </div>
          <div className="fact fact-calls">
            <dt>{words.text("calls")}</dt>
            <dd>
              <span className="figure numeric">{amount(words, connector.calls)}</span>
              <span className="small numeric" data-errors={connector.errors > 0}>
                {words.text("errorCount", { count: connector.errors })}
              </span>
            </dd>
          </div>
          <div className="fact fact-tokens">
            <dt>{words.text("tokens")}</dt>
            <dd>
              <span className="figure numeric">{amount(words, connector.tokens)}</span>{" "}
              <span className="small numeric">{words.text("toolCount", { count: connector.tools })}</span>
              <Bar share={mostTokens === 0 ? 0 : connector.tokens / mostTokens} />
            </dd>
          </div>
          <div className="fact fact-ttl">
            <dt>{words.text("ttl")}</dt>
            <dd>
              <Lifetime connector={connector} words={words} />
            </dd>
          </div>
        </dl>
        <div className="row-actions">
          {connector.sample !== null && canRun && (
            <button
              type="button"
              className="button run"
              aria-label={words.text("runOf", { connector: name, sample: connector.sample.title })}
              title={connector.sample.title}
              aria-disabled={sample?.running === true}
              onClick={() => actions.run(connector)}
            >
              <Icon name="play" />
              <span>{words.text("runShort")}</span>
            </button>
          )}
        </div>
      </div>
      {state !== "up" && connector.reason !== null && (
        <p className="reason" data-state={state} data-testid="reason">
          <StateShape state={state} />
          <span dir="auto">
            {connector.reason}
            {connector.retryAt !== null && (
              <>
                {" "}
                <Ticking className="retry numeric" text={(now) => retry(words, connector.retryAt ?? now, now)} />
              </>
            )}
          </span>
        </p>
      )}
      {open && (
        <div className="details" id={details} role="region" aria-label={words.text("details", { connector: name })} data-testid="details">
          {connector.description !== null && <p dir="auto">{connector.description}</p>}
          <dl>
            <Detail name="ID" value={id} />
            <Detail name={words.text("kind")} value={kind(words, connector.kind)} />
            <Detail name={words.text("since")} value={moment(words, connector.since, timeZone)} />
            <Detail name={words.text("checked")} value={moment(words, connector.checkedAt, timeZone)} />
            <Detail name={words.text("median")} value={duration(words, connector.latencyP50Ms)} />
            <Detail name={words.text("slowest")} value={duration(words, connector.latencyP95Ms)} />
            <Detail name={words.text("ttl")} value={connector.ttlSeconds === null ? NOTHING : words.clock(connector.ttlSeconds)} />
            {connector.sample !== null && <Detail name={words.text("sample")} value={connector.sample.title} />}
          </dl>
        </div>
      )}
      {sample !== null && <SamplePanel connector={connector} sample={sample} words={words} actions={actions} />}
    </li>
  );
});

function Detail({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="numeric">{value}</dd>
    </div>
  );
}

/** How long what is known of a connector holds. */
function Lifetime({ connector, words }: { connector: Connector; words: Words }) {
  const { expiresAt, ttlSeconds } = connector;
  if (expiresAt === null) return <span className="figure">{NOTHING}</span>;
  const left = (now: number) => (expiresAt > now ? words.clock((expiresAt - now) / 1000) : words.text("expired"));
  return (
    <span className="lifetime">
      {ttlSeconds !== null && <Ring end={expiresAt} seconds={ttlSeconds} />}
      <Ticking className="figure numeric" text={left} />
    </span>
  );
}

function retry(words: Words, at: number, now: number): string {
  return at > now ? words.text("retryIn", { clock: words.clock((at - now) / 1000) }) : words.text("retrying");
}
