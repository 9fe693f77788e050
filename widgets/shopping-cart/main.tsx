// The shopping cart's page.

import { createRoot } from "react-dom/client";
import "../host/base.css";
import "./style.css";
import { Host } from "../host/host.ts";
import { Basket } from "./basket.ts";
import { Page } from "./page.tsx";

const host = new Host({ name: "shopping-cart", version: "0.1.0" });
const basket = new Basket((tool, args) => host.callTool(tool, args));
// Before the page hears of a result the basket has it, so that the page never sees one without the other.
host.subscribe(() => basket.adopt(host.snapshot().result));
basket.adopt(host.snapshot().result);
const root = document.getElementById("page");
if (root !== null) createRoot(root).render(<Page host={host} basket={basket} />);
