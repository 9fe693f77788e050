// `window.openai` as ChatGPT gives it to a page; what a page has asked of it is in `asked`.
// `GLOBALS` stands for what the host knows when the page starts.

window.openai = {
  displayMode: "inline",
  locale: "en-US",
  maxHeight: 600,
  safeArea: { insets: { top: 0, right: 0, bottom: 0, left: 0 } },
  toolInput: null,
  toolOutput: null,
  toolResponseMetadata: null,
  userAgent: { device: { type: "desktop" }, capabilities: { hover: true, touch: false } },
  view: { mode: "inline", params: {} },
  widgetState: null,
  ...GLOBALS,

  asked: [],
  callTool(name, args) {
    this.asked.push(["callTool", name, args]);
    const { port1, port2 } = new MessageChannel();
    const answered = new Promise((resolve, reject) => {
      port1.onmessage = ({ data: { result, error } }) => (error ? reject(new Error(error.message)) : resolve(result));
    });
    window.parent.postMessage({ name, arguments: args }, "*", [port2]);
    return answered;
  },
  setWidgetState(state) {
    this.asked.push(["setWidgetState", state]);
    // Only what can be kept is kept: the state travels as JSON.
    this.setGlobals({ widgetState: JSON.parse(JSON.stringify(state)) });
  },
  setGlobals(globals) {
    Object.assign(window.openai, globals);
    window.dispatchEvent(new CustomEvent("openai:set_globals", { detail: { globals } }));
  },
};

for (const name of [
  "notifyIntrinsicHeight",
  "openExternal",
  "requestClose",
  "requestDisplayMode",
  "requestModal",
  "sendFollowUpMessage",
]) {
  window.openai[name] = async (argument) => {
    window.openai.asked.push([name, argument]);
    return name === "requestDisplayMode" ? { mode: argument.mode } : undefined;
  };
}
