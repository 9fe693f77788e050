// Which connectors to show: by words, and by state.

import { Icon } from "../host/parts.tsx";
import { STATES, type Connector, type Filter, type State } from "./dashboard.ts";
import { StateShape } from "./marks.tsx";
import type { Words } from "./texts.ts";

interface FilterBarProps {
  readonly connectors: readonly Connector[];
  readonly filter: Filter;
  readonly words: Words;
  readonly found: number;
  readonly onFilter: (filter: Filter) => void;
}

export function FilterBar({ connectors, filter, words, found, onFilter }: FilterBarProps) {
  const counts = new Map<State, number>();
  for (const one of connectors) counts.set(one.state, (counts.get(one.state) ?? 0) + 1);
  // A chosen state keeps its chip when its last connector leaves it, or it could not be taken back.
  const chips = STATES.filter((state) => counts.has(state) || filter.states.has(state));
  const toggle = (state: State) => {
    const states = new Set(filter.states);
    if (!states.delete(state)) states.add(state);
    onFilter({ ...filter, states });
  };
  return (
    <search className="filter" data-testid="filter">
      <label className="filter-text">
        <Icon name="search" />
        <input className="field" type="search" autoComplete="off" aria-label={words.text("filter")} placeholder={words.text("filter")} value={filter.text} onInput={(event) => onFilter({ ...filter, text: event.currentTarget.value })} />
      </label>
      <div className="chips" role="group" aria-label={words.text("filterStates")}>
        <button type="button" className="chip" aria-pressed={filter.states.size === 0} onClick={() => onFilter({ ...filter, states: new Set() })}>
          {words.text("all")} <span className="numeric">{words.number(connectors.length)}</span>
        </button>
        {chips.map((state) => (
          <button key={state} type="button" className="chip" data-state={state} aria-pressed={filter.states.has(state)} onClick={() => toggle(state)}>
            <StateShape state={state} />
            {words.text(state)} <span className="numeric">{words.number(counts.get(state) ?? 0)}</span>
          </button>
        ))}
      </div>
      <p className="unseen" role="status" aria-live="polite">
        {found === connectors.length ? "" : words.text("found", { count: found })}
      </p>
    </search>
  );
}
