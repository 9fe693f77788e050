// The connectors' page, in a host or by itself.

import { createRoot } from "react-dom/client";
import "../host/base.css";
import "./style.css";
import { Host } from "../host/host.ts";
import { PolledFeed, StreamedFeed } from "./feed.ts";
import { Page } from "./page.tsx";

const host = new Host({ name: "switchboard-dashboard", version: "0.1.0" });
const feed = host.snapshot().link === "standalone" ? new StreamedFeed(host) : new PolledFeed(host);
if (host.snapshot().link === "standalone") {
  // A browser asks for an icon unless the page says that it has one; a host's policy would forbid this one.
  const icon = document.createElement("link");
  icon.rel = "icon";
  icon.href = "data:,";
  document.head.append(icon);
}
const root = document.getElementById("page");
if (root !== null) createRoot(root).render(<Page host={host} feed={feed} />);
