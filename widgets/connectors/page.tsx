// The dashboard: totals, a filter, and the connectors by category.

import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { Host } from "../host/host.ts";
import { language } from "../host/language.ts";
import { Announcement, DisplayModeButton, Icon, Notice, useHost } from "../host/parts.tsx";
import { Nothing } from "./blank.tsx";
import { setSkew, Ticking } from "./clock.tsx";
import { filtered, foremost, grouped, leading, NO_FILTER, turned, type Connector } from "./dashboard.ts";
import type { Feed } from "./feed.ts";
import { FilterBar } from "./filter.tsx";
import { Row } from "./row.tsx";
import { useRows } from "./rows.ts";
import { TEXTS, type Words } from "./texts.ts";
import { Totals } from "./totals.tsx";

/** An inline card is one among many messages, so it stays short until asked. */
const INLINE_ROWS = 8;

/** From here on the browser is told not to lay out what is out of sight. */
const MANY_ROWS = 60;

/** So many rows are drawn at once; the others follow in steps, so that a keystroke in the filter shows at once. */
const ROWS_A_STEP = 60;

export function Page({ host, feed }: { host: Host; feed: Feed }) {
  const shown = useHost(host);
  const { dashboard, previous, failure, refreshing, skew, canRefresh, canRun } = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const words: Words = useMemo(() => language(shown.context.locale, TEXTS), [shown.context.locale]);
  const [filter, setFilter] = useState(NO_FILTER);
  const [all, showAll] = useState(false);
  const [said, say] = useState("");
  const page = useRef<HTMLDivElement>(null);
  const total = dashboard?.connectors.length ?? 0;
  const drawn = useSteps(total, filter);
  const renewed = useSteps(total, dashboard);
  setSkew(skew);

  useEffect(() => void (document.title = words.text("title")), [words]);
  useEffect(() => {
    if (dashboard === null) return;
    const changes = turned(previous, dashboard).slice(0, 3);
    if (changes.length > 0) say(changes.map((one) => words.text("turned", { connector: one.name, state: words.text(one.state) })).join(". "));
  }, [dashboard]);

  const { opened, samples, actions } = useRows(feed, words, page, say);

  if (dashboard === null) return <Nothing host={host} feed={feed} words={words} />;

  const { connectors } = dashboard;
  const inline = shown.context.displayMode !== "fullscreen" && shown.link !== "standalone";
  const matching = filtered(connectors, filter);
  const unfiltered = matching.length === connectors.length;
  const limited = inline && !all && unfiltered && connectors.length > INLINE_ROWS + 2;
  const groups = leading(grouped(limited ? foremost(matching, INLINE_ROWS) : matching, words.tag), drawn);
  // Of many rows those further down go on showing what was before for a moment, so that a refresh does not hold up the page.
  const before = new Map(renewed < total ? previous?.connectors.map((one) => [one.id, one]) : []);
  const lagging = new Set(groups.flatMap((group) => group.connectors.map((one) => one.id)).slice(renewed));
  const mostTokens = Math.max(0, ...connectors.map((one) => one.tokens));

  return (
    <div className="dash" ref={page} data-testid="dashboard" data-link={shown.link} data-many={matching.length > MANY_ROWS}>
      <header className="top">
        <h1>{words.text("title")}</h1>
        <p className="stamp numeric" data-failed={failure !== null}>
          <span className="pulse" aria-hidden="true" />
          <span className="stamp-word">{words.text("updated")}</span> <Ticking text={(at) => words.ago((at - dashboard.generatedAt) / 1000)} />
        </p>
        <div className="top-actions">
          {canRefresh && (
            <button
              type="button"
              className="button button-icon button-plain refresh"
              aria-label={words.text("refresh")}
              title={words.text("refresh")}
              data-refreshing={refreshing}
              onClick={() => feed.refresh()}
            >
              <Icon name="refresh" />
            </button>
          )}
          <DisplayModeButton host={host} snapshot={shown} labels={{ expand: words.text("fullScreen"), shrink: words.text("exitFullScreen") }} />
        </div>
      </header>

      {failure !== null && (
        <Notice
          bad
          testId="stale"
          text={[words.text("stale"), failure].filter((part) => part !== "").join(" ")}
          actions={canRefresh ? [{ label: words.text("retry"), run: () => feed.refresh() }] : []}
        />
      )}
      <Totals dashboard={dashboard} words={words} />
      {connectors.length > 0 && <FilterBar connectors={connectors} filter={filter} words={words} onFilter={setFilter} found={matching.length} />}

      {connectors.length === 0 && (
        <div className="blank" data-testid="none">
          <p className="blank-title">{words.text("none")}</p>
          <p>{words.text("noneHint")}</p>
        </div>
      )}
      {connectors.length > 0 && matching.length === 0 && (
        <div className="blank" data-testid="no-match">
          <p className="blank-title">{words.text("noMatch")}</p>
          <button type="button" className="button" onClick={() => setFilter(NO_FILTER)}>
            {words.text("clearFilter")}
          </button>
        </div>
      )}
      {matching.length > 0 && (
        <div className="columns" aria-hidden="true">
          {(["connector", "state", "latency", "calls", "tokens", "ttl"] as const).map((key) => (
            <span key={key}>{words.text(key)}</span>
          ))}
        </div>
      )}
      <>
        {groups.map(({ category, connectors: members, size }) => (
          <section key={category ?? ""} className="group" data-testid="group">
            <h2>
              {category ?? words.text("other")} <span className="group-count numeric">{words.number(size)}</span>
            </h2>
            <ul className="rows">
              {members.map((connector: Connector) => (
                <Row
                  key={connector.id}
                  connector={(lagging.has(connector.id) ? before.get(connector.id) : undefined) ?? connector}
                  words={words}
                  timeZone={shown.context.timeZone}
                  mostTokens={mostTokens}
                  open={opened.has(connector.id)}
                  sample={samples.get(connector.id) ?? null}
                  canRun={canRun}
                  actions={actions}
                />
              ))}
            </ul>
          </section>
        ))}
      </>
      {inline && unfiltered && connectors.length > INLINE_ROWS + 2 && (
        <button type="button" className="button more" aria-expanded={all} onClick={() => showAll(!all)}>
          {all ? words.text("showFewer") : words.text("showAll", { count: connectors.length })}
        </button>
      )}
      {dashboard.version !== "" && <p className="imprint numeric">Switchboard {dashboard.version}</p>}
      <Announcement text={said} />
    </div>
  );
}

/** Counts up to `total` in steps, with a paint between them, and begins anew with another `subject`. */
function useSteps(total: number, subject: unknown): number {
  const [step, setStep] = useState({ subject, count: ROWS_A_STEP });
  const count = step.subject === subject ? step.count : ROWS_A_STEP;
  useEffect(() => {
    if (count >= total) return;
    const timer = setTimeout(() => setStep({ subject, count: count + ROWS_A_STEP }));
    return () => clearTimeout(timer);
  }, [count, total, subject]);
  return count;
}
