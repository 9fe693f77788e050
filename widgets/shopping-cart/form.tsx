// The form that adds an item. Its draft belongs to the page, which keeps it.

import type { KeyboardEvent, RefObject } from "react";
import { Icon } from "../host/parts.tsx";
import type { Words } from "./texts.ts";

export interface Draft {
  readonly name: string;
  readonly quantity: number;
}

export const EMPTY_DRAFT: Draft = { name: "", quantity: 1 };

interface AddFormProps {
  readonly draft: Draft;
  readonly field: RefObject<HTMLInputElement | null>;
  readonly words: Words;
  /** Why nothing more can be added, or `null`. */
  readonly full: string | null;
  readonly onDraft: (draft: Draft) => void;
  readonly onAdd: (draft: Draft) => void;
}

export function AddForm({ draft, field, words, full, onDraft, onAdd }: AddFormProps) {
  const add = () => {
    field.current?.focus();
    if (draft.name.trim() !== "" && full === null) onAdd({ ...draft, quantity: Math.min(Math.max(1, Math.round(draft.quantity)), 999) });
  };
  // A frame of a strict host forbids every submission, the ones that a page handles itself too.
  const onEnter = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    add();
  };
  return (
    <div className="add" role="group" aria-label={words.text("add")} data-testid="add">
      <label className="add-name">
        <span className="unseen">{words.text("name")}</span>
        <input
          ref={field}
          className="field"
          name="name"
          maxLength={120}
          autoComplete="off"
          enterKeyHint="done"
          placeholder={words.text("namePlaceholder")}
          value={draft.name}
          onInput={(event) => onDraft({ ...draft, name: event.currentTarget.value })}
          onKeyDown={onEnter}
        />
      </label>
      <label className="add-quantity">
        <span className="unseen">{words.text("quantity")}</span>
        <input
          className="field numeric"
          type="number"
          inputMode="numeric"
          name="quantity"
          min={1}
          max={999}
          value={draft.quantity}
          onInput={(event) => onDraft({ ...draft, quantity: Number(event.currentTarget.value) || 1 })}
          onFocus={(event) => event.currentTarget.select()}
          onKeyDown={onEnter}
        />
      </label>
      <button type="button" className="button button-primary" onClick={add}>
        <Icon name="plus" />
        <span>{words.text("add")}</span>
      </button>
      {full !== null && <p className="add-full">{full}</p>}
    </div>
  );
}
