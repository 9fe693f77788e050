"""How long the widgets take from the tool's result to the first picture that shows it, in this machine's Chromium.

Beside each stands a bare page that only writes the same result as JSON; the two are opened in turns, so the ratio holds
whatever else the machine does meanwhile. After `tests/run build install`: `tests/.venv/bin/python tests/bench/paint.py`.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from playwright.sync_api import Browser

from browser import MinimalHost, launched, stage
from connectors import call, tools
from harness import ROOT, Manifests, Server, serve, until
from wire import Json

ROUNDS = 20
ITEMS = 20

BARE = """<!doctype html>
<html lang="en"><head><title>Bare</title></head><body><script>
  const post = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  addEventListener("message", ({ data }) => {
    if (data.id === 1) post({ method: "ui/notifications/initialized" });
    if (data.method !== "ui/notifications/tool-result") return;
    document.body.textContent = JSON.stringify(data.params.structuredContent);
  });
  const params = { appInfo: { name: "bare", version: "1" }, appCapabilities: {}, protocolVersion: "2026-01-26" };
  post({ id: 1, method: "ui/initialize", params });
</script></body></html>"""

# A frame's picture is done when a task queued in its animation callback runs.
WATCH = """(mark) => {
  if (window === top) return;
  new MutationObserver((_, observer) => {
    if (!document.body?.textContent.toLowerCase().includes(mark)) return;
    observer.disconnect();
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => (window.paintedAt = performance.timeOrigin + performance.now());
      port2.postMessage(null);
    });
  }).observe(document, { subtree: true, childList: true, characterData: true });
}"""


@contextmanager
def serving(home: str) -> Iterator[Server]:
    with serve(Manifests(ROOT / "manifests", ""), "--data-dir", home) as server:
        until(lambda: {"cart_show", "show_connectors"} <= tools(server), f"the widgets' tools: {server.log}")
        yield server


def widgets(server: Server) -> dict[str, tuple[str, Json]]:
    """Tools with a widget: a word that both the widget and the bare page show of the result, and the arguments."""
    items = [{"name": f"eggs {number}"} for number in range(ITEMS)]
    cart = call(server, "cart_add_items", {"items": items})["structuredContent"]["cartId"]
    return {"cart_show": ("eggs", {"cartId": cart}), "show_connectors": ("switchboard", {})}


class BareHost(MinimalHost):
    def read(self) -> str:
        return BARE


def milliseconds(chromium: Browser, host: MinimalHost, mark: str) -> float:
    """How long one opening takes."""
    context = chromium.new_context(viewport={"width": 720, "height": 900})
    context.add_init_script(f"({WATCH})({mark!r})")
    page = context.new_page()
    frame = replace(host, page=page).open()
    until(lambda: frame.evaluate("window.paintedAt"), "the picture")
    taken = frame.evaluate("window.paintedAt") - page.evaluate("window.sentAt")
    context.close()
    return taken


def main() -> None:
    with tempfile.TemporaryDirectory() as home, serving(home) as server, launched() as chromium, stage() as place:
        print(f"{'page':<16} {'median ms':>9} {'p95 ms':>7} {'bare ms':>8} {'× bare':>7}")
        for tool, (mark, arguments) in widgets(server).items():
            hosts = [kind(place, None, server, tool, arguments) for kind in (MinimalHost, BareHost)]
            # The first round warms caches up.
            rounds = [[milliseconds(chromium, host, mark) for host in hosts] for _ in range(ROUNDS + 1)][1:]
            ours, bare = zip(*rounds, strict=True)
            middle, floor = statistics.median(ours), statistics.median(bare)
            p95 = statistics.quantiles(ours, n=20, method="inclusive")[-1]
            print(f"{tool:<16} {middle:>9.1f} {p95:>7.1f} {floor:>8.1f} {middle / floor:>7.2f}")


if __name__ == "__main__":
    main()
