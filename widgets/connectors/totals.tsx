// The figures of the whole gateway, and how its connectors are doing as one bar.

import { STATES, type Dashboard } from "./dashboard.ts";
import { amount, share } from "./format.ts";
import type { Words } from "./texts.ts";

export function Totals({ dashboard, words }: { dashboard: Dashboard; words: Words }) {
  const { totals, connectors } = dashboard;
  const counts = STATES.map((state) => ({ state, count: connectors.filter((one) => one.state === state).length }));
  return (
    <section className="totals" aria-label={words.text("summary")} data-testid="totals">
      <dl>
        <Figure name={words.text("online")} value={words.number(totals.online)} aside={words.text("ofConnectors", { total: totals.connectors })} testId="online" />
        <Figure name={words.text("tools")} value={amount(words, totals.tools)} testId="tools" />
        <Figure name={words.text("tokens")} value={amount(words, totals.tokens)} aside={words.text("tokensHint")} testId="tokens" />
        <Figure name={words.text("calls")} value={amount(words, totals.calls)} testId="calls" />
        <Figure
          name={words.text("errors")}
          value={amount(words, totals.errors)}
          aside={totals.calls > 0 ? words.text("ofCalls", { share: share(words, totals.errors, totals.calls) }) : ""}
          testId="errors"
        />
      </dl>
      <div className="health" aria-hidden="true">
        {counts.map(({ state, count }) => count > 0 && <span key={state} data-state={state} style={{ flexGrow: count }} />)}
      </div>
    </section>
  );
}

function Figure({ name, value, aside = "", testId }: { name: string; value: string; aside?: string; testId: string }) {
  return (
    <div className="total" data-testid={`total-${testId}`}>
      <dt>{name}</dt>
      <dd className="numeric">
        <span className="total-value">{value}</span> {aside !== "" && <span className={aside.length > 12 ? "total-aside total-aside-long" : "total-aside"}>{aside}</span>}
      </dd>
    </div>
  );
}
