// The dashboard before there is one.

import { useSyncExternalStore } from "react";
import type { Host } from "../host/host.ts";
import { Notice, useHost } from "../host/parts.tsx";
import type { Feed } from "./feed.ts";
import type { Words } from "./texts.ts";

/** Nothing to show yet: waits, or says why nothing comes. */
export function Nothing({ host, feed, words }: { host: Host; feed: Feed; words: Words }) {
  const { link } = useHost(host);
  const { failure, canRefresh, refreshing } = useSyncExternalStore(feed.subscribe, feed.snapshot);
  const waiting = failure === null && link !== "silent";
  return (
    <div className="dash" data-testid={waiting ? "loading" : "nothing"} data-link={link}>
      <header className="top">
        <h1>{words.text("title")}</h1>
      </header>
      {waiting ? (
        <>
          <p className="unseen" role="status">
            {words.text("loading")}
          </p>
          <div className="bones" aria-hidden="true">
            <div className="skeleton bone-totals" />
            <div className="skeleton" />
            <div className="skeleton" />
            <div className="skeleton" />
          </div>
        </>
      ) : (
        <Notice
          bad={failure !== null}
          testId="failure"
          text={failure === null ? words.text("noHost") : [words.text("failed"), failure].filter((part) => part !== "").join(" ")}
          actions={canRefresh ? [{ label: words.text("retry"), run: () => void (refreshing || feed.refresh()) }] : []}
        />
      )}
    </div>
  );
}
