// A tool's result in the one form the pages read, whichever way it came.

export type Fields = Readonly<Record<string, unknown>>;

export interface ToolResult {
  readonly structured: Fields | null;
  readonly meta: Fields;
  /** The result's text, for people; empty when there is none. */
  readonly text: string;
  readonly failed: boolean;
  /** Known only where the page makes the HTTP request itself. */
  readonly requestId: string | null;
}

export const NO_RESULT: ToolResult = { structured: null, meta: {}, text: "", failed: false, requestId: null };

export function failure(text: string): ToolResult {
  return { ...NO_RESULT, text, failed: true };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Hosts wrap the result they got from the server in one of these. */
const ENVELOPES = ["mcp_tool_result", "call_tool_result", "result"];

/** Reads a `CallToolResult`, also inside a host's envelope or as the bare text some hosts hand out. */
export function toolResult(value: unknown): ToolResult {
  if (typeof value === "string") return { ...NO_RESULT, structured: parsed(value), text: value };
  if (!isFields(value)) return NO_RESULT;
  if (!("content" in value) && !("structuredContent" in value) && !("isError" in value)) {
    const inner = ENVELOPES.map((name) => value[name]).find((found) => found !== undefined && found !== null);
    if (inner !== undefined) {
      const result = toolResult(inner);
      return { ...result, meta: { ...metaOf(value), ...result.meta } };
    }
  }
  const text = textOf(value["content"]);
  const failed = value["isError"] === true;
  const structured = value["structuredContent"];
  return {
    structured: isFields(structured) ? structured : failed ? null : parsed(text),
    meta: metaOf(value),
    text,
    failed,
    requestId: null,
  };
}

/** The `_meta` of `window.openai.toolResponseMetadata`: in an envelope, under `_meta`, or the object itself. */
export function responseMeta(value: unknown): Fields {
  if (!isFields(value)) return {};
  const inner = ENVELOPES.map((name) => metaOf(value[name])).find((meta) => Object.keys(meta).length > 0);
  const own = metaOf(value);
  return inner ?? (Object.keys(own).length > 0 ? own : value);
}

function metaOf(value: unknown): Fields {
  return isFields(value) && isFields(value["_meta"]) ? value["_meta"] : {};
}

function textOf(content: unknown): string {
  if (!Array.isArray(content)) return "";
  const texts = content.filter((block) => isFields(block) && block["type"] === "text" && typeof block["text"] === "string");
  return texts.map((block) => block.text).join("\n");
}

/** A server repeats structured content as text; hosts that drop the former leave us the latter. */
function parsed(text: string): Fields | null {
  if (!text.trimStart().startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : null;
  } catch {
    return null;
  }
}
