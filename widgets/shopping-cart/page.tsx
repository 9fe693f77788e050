// The cart: what is in it, a form to add to it, and what the last action did.

import { useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { Host } from "../host/host.ts";
import { language } from "../host/language.ts";
import { Announcement, DisplayModeButton, Icon, Notice, useHost } from "../host/parts.tsx";
import type { Basket } from "./basket.ts";
import { Empty, Nothing, Waiting } from "./blank.tsx";
import { keyOf, quantityOf, type Item, type Operation } from "./collection.ts";
import { AddForm, EMPTY_DRAFT, type Draft } from "./form.tsx";
import { useKept } from "./kept.ts";
import { Row } from "./row.tsx";
import { TEXTS, type Words } from "./texts.ts";

/** An inline card is one among many messages, so it stays short until asked. */
const INLINE_ITEMS = 6;

/** Results come in parts in some hosts; only after this is a missing part called missing. */
const COMPLETE_AFTER_MS = 1_500;

/** What the undo button brings back. */
interface Undo {
  readonly text: string;
  readonly items: readonly Item[];
  readonly ticked: readonly string[];
}

export function Page({ host, basket }: { host: Host; basket: Basket }) {
  const shown = useHost(host);
  const { collection, busy, failure } = useSyncExternalStore(basket.subscribe, basket.snapshot);
  const words: Words = useMemo(() => language(shown.context.locale, TEXTS), [shown.context.locale]);
  const [kept, keep] = useKept(host);
  const [undo, setUndo] = useState<Undo | null>(null);
  const [said, say] = useState("");
  const [all, showAll] = useState(false);
  const late = useLater(COMPLETE_AFTER_MS);
  const list = useRef<HTMLUListElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const undoBar = useRef<HTMLDivElement>(null);
  const nextFocus = useRef<(() => HTMLElement | null | undefined) | null>(null);

  useEffect(() => void (document.title = words.text("title")), [words]);
  // What failed has nothing to bring back.
  useEffect(() => {
    if (failure !== null) setUndo(null);
  }, [failure]);
  useEffect(() => {
    const look = () => document.visibilityState === "visible" && basket.refresh();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  // A host that opens an old chat shows the result of then; what was seen since tells that there is a newer one.
  const askedAgain = useRef(false);
  useEffect(() => {
    if (collection === null || collection.version === kept.version) return;
    if (collection.version > kept.version) return keep(() => ({ version: collection.version }));
    if (!askedAgain.current && shown.canCall) basket.refresh();
    askedAgain.current ||= shown.canCall;
  }, [collection?.version, kept.version, shown.canCall]);
  // What is removed takes the focus with it, so the focus is put where the eye is.
  useLayoutEffect(() => {
    const target = nextFocus.current?.();
    nextFocus.current = null;
    target?.focus();
  });

  const title = words.text("title");
  if (collection === null) {
    const waiting = shown.result === null && shown.link !== "standalone" && shown.link !== "silent";
    if (waiting) return <Waiting title={title} label={words.text("loading")} />;
    return <Nothing host={host} basket={basket} words={words} />;
  }

  const { items } = collection;
  const readOnly = !shown.canCall || collection.tools === null || shown.link === "closed";
  const can = (kind: Operation["kind"]) => !readOnly && collection.tools?.[kind] !== undefined;
  const full = shown.context.displayMode === "fullscreen";
  const limited = !full && !all && items.length > INLINE_ITEMS + 1;
  const visible = limited ? items.slice(0, INLINE_ITEMS) : items;
  const tickedKeys = new Set(kept.ticked);
  const ticked = items.filter((item) => tickedKeys.has(keyOf(collection, item))).length;
  const atLimit = collection.maxItems !== null && items.length >= collection.maxItems;

  const act = (operation: Operation, text: string, undoable: Undo | null = null) => {
    basket.run(operation);
    say(text);
    setUndo(undoable);
  };
  const add = (draft: Draft) => {
    const item: Item = { [collection.key]: draft.name.trim(), quantity: draft.quantity };
    act({ kind: "add", items: [item] }, words.text("added", { item: draft.name.trim() }));
    keep(() => ({ draft: EMPTY_DRAFT }));
    if (limited) showAll(true);
  };
  const setQuantity = (item: Item, quantity: number) => {
    const key = keyOf(collection, item);
    act({ kind: "update", items: [{ [collection.key]: key, quantity }] }, words.text("changed", { item: key, quantity }));
  };
  const remove = (item: Item, index: number) => {
    const key = keyOf(collection, item);
    const text = words.text("removed", { item: key });
    nextFocus.current = () => {
      const buttons = list.current?.querySelectorAll<HTMLElement>("[data-remove]");
      return buttons?.[Math.min(index, buttons.length - 1)] ?? field.current;
    };
    act({ kind: "remove", keys: [key] }, text, { text, items: [item], ticked: kept.ticked.filter((name) => name === key) });
    keep(({ ticked }) => ({ ticked: ticked.filter((name) => name !== key) }));
  };
  const clear = () => {
    const text = words.text("cleared");
    nextFocus.current = () => undoBar.current?.querySelector("button") ?? field.current;
    act({ kind: "clear" }, text, { text, items, ticked: kept.ticked });
    keep(() => ({ ticked: [] }));
  };
  const bringBack = (lost: Undo) => {
    const [only] = lost.items;
    const one = lost.items.length === 1 && only !== undefined;
    act({ kind: "add", items: lost.items }, one ? words.text("restored", { item: keyOf(collection, only) }) : words.text("restoredAll", { count: lost.items.length }));
    keep(({ ticked }) => ({ ticked: [...ticked, ...lost.ticked] }));
    nextFocus.current = () => field.current;
  };
  const tick = (item: Item, on: boolean) => {
    const key = keyOf(collection, item);
    keep(({ ticked }) => ({ ticked: [...ticked.filter((name) => name !== key), ...(on ? [key] : [])] }));
  };
  const expand = (open: boolean) => {
    showAll(open);
    nextFocus.current = () => {
      const boxes = list.current?.querySelectorAll<HTMLElement>("input");
      return open ? list.current?.children[INLINE_ITEMS]?.querySelector<HTMLElement>("input, button") : boxes?.[0];
    };
  };

  return (
    <div className="cart" data-testid="cart" data-busy={busy} data-link={shown.link}>
      <header className="head">
        <h1>{title}</h1>
        {items.length > 0 && (
          <p className="count numeric" data-testid="count">
            {ticked === 0 ? words.text("count", { count: items.length }) : words.text("ticked", { ticked, count: items.length })}
          </p>
        )}
        <div className="head-actions">
          {items.length > 0 && can("clear") && (
            <button type="button" className="button button-plain" title={words.text("clear")} onClick={clear}>
              <Icon name="trash" />
              <span>{words.text("clear")}</span>
            </button>
          )}
          <DisplayModeButton host={host} snapshot={shown} labels={{ expand: words.text("fullScreen"), shrink: words.text("exitFullScreen") }} />
        </div>
        <div className="progress" data-on={busy} aria-hidden="true" />
      </header>

      {items.length === 0 ? (
        <Empty title={words.text("empty")} hint={words.text(readOnly ? "emptyReadOnly" : "emptyHint")} />
      ) : (
        <ul className="items" ref={list} aria-busy={busy}>
          {visible.map((item, index) => (
            <Row
              key={keyOf(collection, item)}
              name={keyOf(collection, item)}
              note={typeof item["note"] === "string" ? item["note"] : ""}
              quantity={quantityOf(item)}
              ticked={tickedKeys.has(keyOf(collection, item))}
              words={words}
              onTick={(on) => tick(item, on)}
              onQuantity={can("update") ? (quantity) => setQuantity(item, quantity) : null}
              onRemove={can("remove") ? () => remove(item, index) : null}
            />
          ))}
        </ul>
      )}
      {(limited || (all && !full && items.length > INLINE_ITEMS + 1)) && (
        <button type="button" className="button button-plain more" aria-expanded={!limited} onClick={() => expand(limited)}>
          {limited ? words.text("showAll", { count: items.length - INLINE_ITEMS }) : words.text("showFewer")}
        </button>
      )}

      <div className="foot">
        {can("add") && (
          <AddForm
            draft={kept.draft}
            field={field}
            words={words}
            full={atLimit ? words.text("full", { count: items.length }) : null}
            onDraft={(draft) => keep(() => ({ draft }))}
            onAdd={add}
          />
        )}
        {failure !== null && (
          <Notice
            bad
            testId="failure"
            text={failure.lost ? words.text("lost") : `${words.text("failed")} ${failure.text}`}
            actions={[
              failure.lost
                ? { label: words.text("startNew"), run: () => basket.startNew() }
                : { label: words.text("retry"), run: () => basket.run(failure.operation) },
              { label: words.text("dismiss"), run: () => basket.dismiss(), plain: true },
            ]}
          />
        )}
        {failure === null && undo !== null && (
          <div ref={undoBar}>
            <Notice testId="undo" text={undo.text} actions={can("add") ? [{ label: words.text("undo"), run: () => bringBack(undo) }] : []} />
          </div>
        )}
        {readOnly && late && shown.link !== "closed" && <Notice testId="read-only" text={words.text("readOnly")} />}
      </div>
      <Announcement text={said} />
    </div>
  );
}

/** True once so much time has passed. */
function useLater(afterMs: number): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), afterMs);
    return () => clearTimeout(timer);
  }, [afterMs]);
  return late;
}
