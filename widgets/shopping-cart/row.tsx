// One item: tick it off, change how many, take it out.

import { useState } from "react";
import { Icon } from "../host/parts.tsx";
import type { Words } from "./texts.ts";

const MOST = 999;

interface RowProps {
  readonly name: string;
  readonly note: string;
  readonly quantity: number;
  readonly ticked: boolean;
  readonly words: Words;
  readonly onTick: (on: boolean) => void;
  /** `null` where the host or the server does not offer it. */
  readonly onQuantity: ((quantity: number) => void) | null;
  readonly onRemove: (() => void) | null;
}

export function Row({ name, note, quantity, ticked, words, onTick, onQuantity, onRemove }: RowProps) {
  return (
    <li className="item" data-testid="item" data-ticked={ticked}>
      <label className="tick">
        <input type="checkbox" checked={ticked} onChange={(event) => onTick(event.currentTarget.checked)} />
        <span className="what">
          <span className="name">{name}</span>
          {note !== "" && <span className="remark">{note}</span>}
        </span>
      </label>
      {onQuantity === null ? (
        <span className="fixed numeric" data-testid="quantity">
          <span className="unseen">{words.text("quantity")} </span>×&#8239;{words.number(quantity)}
        </span>
      ) : (
        <Stepper name={name} quantity={quantity} words={words} onQuantity={onQuantity} />
      )}
      {onRemove !== null && (
        <button type="button" className="button button-icon button-plain" data-remove aria-label={words.text("remove", { item: name })} title={words.text("remove", { item: name })} onClick={onRemove}>
          <Icon name="close" />
        </button>
      )}
    </li>
  );
}

/** Minus, a number to type over, plus. What is typed counts once the field is left. A button at its end stays focusable, so that the focus is never lost. */
function Stepper({ name, quantity, words, onQuantity }: { name: string; quantity: number; words: Words; onQuantity: (quantity: number) => void }) {
  const [typed, setTyped] = useState<string | null>(null);
  const step = (by: number) => {
    const next = quantity + by;
    if (next >= 1 && next <= MOST) onQuantity(next);
  };
  const settle = () => {
    const meant = Math.min(Math.round(Number(typed ?? quantity)), MOST);
    if (meant >= 1 && meant !== quantity) onQuantity(meant);
    setTyped(null);
  };
  return (
    <div className="stepper" role="group" aria-label={words.text("quantityOf", { item: name })}>
      <button type="button" aria-label={words.text("less", { item: name })} aria-disabled={quantity <= 1} onClick={() => step(-1)}>
        <Icon name="minus" />
      </button>
      <input
        type="number"
        inputMode="numeric"
        className="numeric"
        min={1}
        max={MOST}
        value={typed ?? quantity}
        aria-label={words.text("quantityOf", { item: name })}
        data-testid="quantity"
        onInput={(event) => setTyped(event.currentTarget.value)}
        onBlur={settle}
        onKeyDown={(event) => event.key === "Enter" && settle()}
        onFocus={(event) => event.currentTarget.select()}
      />
      <button type="button" aria-label={words.text("more", { item: name })} aria-disabled={quantity >= MOST} onClick={() => step(1)}>
        <Icon name="plus" />
      </button>
    </div>
  );
}
