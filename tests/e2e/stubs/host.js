// The host's half of the standard bridge (MCP Apps, 2026-01-26), and nothing beyond what a page gets from every host.
// `setup` says what is shown and how, `call` passes a tool's call on to the server.

const frame = document.querySelector("iframe");
const heard = (window.heard = []);
let setup;

const send = (message) => frame.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
const notify = (method, params) => send({ method: `ui/notifications/${method}`, params });

// The server's answer, be it a result or an error.
const callTool = async (params) => {
  const response = await fetch("call", { method: "POST", body: JSON.stringify(params) });
  return response.json();
};

const answers = {
  ping: () => ({}),
  "ui/initialize": () => ({
    protocolVersion: "2026-01-26",
    hostInfo: { name: "minimal-host", version: "1.0.0" },
    hostCapabilities: {
      serverTools: {},
      openLinks: {},
      logging: {},
      updateModelContext: { text: {} },
      message: { text: {} },
    },
    hostContext: { theme: setup.theme, displayMode: "inline", availableDisplayModes: ["inline"], locale: "en-US" },
  }),
  "ui/update-model-context": () => ({}),
  "ui/message": () => ({}),
  "ui/open-link": () => ({}),
  "ui/request-display-mode": () => ({ mode: "inline" }),
};

const notified = {
  "ui/notifications/size-changed": ({ height }) => (frame.style.height = `${height}px`),
  "ui/notifications/initialized": () => {
    notify("tool-input", { arguments: setup.toolInput });
    window.sentAt = performance.timeOrigin + performance.now();
    notify("tool-result", setup.toolResult);
  },
};

window.setTheme = (theme) => notify("host-context-changed", { theme });

addEventListener("message", async ({ data, source, ports: [port] }) => {
  if (source !== frame.contentWindow) return;
  // The stub of `window.openai` asks through a port of its own, so that a page's bridge never sees it.
  if (port) return port.postMessage(await callTool(data));
  if (!setup.bridge) return;
  heard.push(data);
  if (data.id === undefined) return notified[data.method]?.(data.params);
  if (data.method === "tools/call") {
    const { result, error } = await callTool(data.params);
    return send({ id: data.id, ...(error ? { error } : { result }) });
  }
  const answer = answers[data.method];
  if (answer) send({ id: data.id, result: answer(data.params) });
  else send({ id: data.id, error: { code: -32601, message: `this host has no ${data.method}` } });
});

fetch("setup")
  .then((response) => response.json())
  .then((given) => {
    setup = given;
    frame.src = "page";
  });
