// The cart without items: because it is empty, because its result is still to come, or because none came.

import { useState } from "react";
import type { Host } from "../host/host.ts";
import { Notice, useHost, type Action } from "../host/parts.tsx";
import type { Basket } from "./basket.ts";
import type { Words } from "./texts.ts";

export function Empty({ title, hint }: { title: string; hint: string }) {
  return (
    <div className="empty" data-testid="empty">
      <svg viewBox="0 0 48 48" aria-hidden="true" focusable="false">
        <path d="M7 17h34l-3.6 20.2a3 3 0 0 1-3 2.5H13.6a3 3 0 0 1-3-2.5zM15 17L22 7M33 17L26 7M18.5 24v9M24 24v9M29.5 24v9" />
      </svg>
      <p className="empty-title">{title}</p>
      <p className="empty-hint">{hint}</p>
    </div>
  );
}

export function Waiting({ title, label }: { title: string; label: string }) {
  return (
    <div className="cart" data-testid="loading">
      <header className="head">
        <h1>{title}</h1>
      </header>
      <p className="unseen" role="status">
        {label}
      </p>
      <div className="bones" aria-hidden="true">
        <div className="skeleton" />
        <div className="skeleton" />
        <div className="skeleton" />
      </div>
    </div>
  );
}

/** No collection came: says why, and what can be done about it. */
export function Nothing({ host, basket, words }: { host: Host; basket: Basket; words: Words }) {
  const shown = useHost(host);
  const [asking, setAsking] = useState(false);
  const [retried, setRetried] = useState<string | null>(null);
  const { tool, input } = shown.context;
  const reason = retried ?? shown.result?.text ?? "";
  const failed = reason === "" ? words.text("cancelled") : `${words.text("failed")} ${reason}`;
  const again = async (name: string) => {
    setAsking(true);
    try {
      const result = await host.callTool(name, input ?? {});
      if (result.failed) setRetried(result.text);
      else basket.adopt(result);
    } catch (error) {
      setRetried(error instanceof Error ? error.message : String(error));
    }
    setAsking(false);
  };
  const ask = () => host.sendMessage(words.text("askFor")).catch((error: unknown) => host.log(String(error)));
  const actions: Action[] = [];
  if (tool !== null && shown.canCall) actions.push({ label: words.text("retry"), run: () => void (asking || again(tool)) });
  if (shown.result !== null && shown.canMessage) actions.push({ label: words.text("ask"), run: () => void ask() });
  return (
    <div className="cart" data-link={shown.link}>
      <header className="head">
        <h1>{words.text("title")}</h1>
      </header>
      <div className="foot">
        <Notice bad={shown.result !== null} testId="failure" text={shown.result === null ? words.text("noHost") : failed} actions={actions} />
      </div>
    </div>
  );
}
