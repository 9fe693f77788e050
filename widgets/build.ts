// Builds every folder that holds an `index.html` into one self-contained page, `dist/<folder>.html`.

import { mkdirSync, readdirSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";

const ROOT = dirname(fileURLToPath(import.meta.url));
const DIST = join(ROOT, "dist");

/** A page travels inside an MCP answer and is kept by hosts, so its size has a ceiling. */
const MAX_BYTES = 200 * 1024;

const widgets = readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(ROOT, entry.name, "index.html")))
  .map((entry) => entry.name)
  .filter((name) => name !== "dist" && name !== "node_modules")
  .sort();

rmSync(DIST, { recursive: true, force: true });
mkdirSync(DIST);
for (const widget of widgets) {
  const page = await bundle(widget);
  const bytes = Buffer.byteLength(page);
  if (bytes > MAX_BYTES) throw new Error(`${widget}: ${bytes} bytes, more than the ${MAX_BYTES} a page may have`);
  writeFileSync(join(DIST, `${widget}.html`), page);
  process.stdout.write(`dist/${widget}.html  ${(bytes / 1024).toFixed(1)} KB\n`);
}

/** One widget as one page: Vite bundles in memory, then its scripts and styles are put where their tags stood. */
async function bundle(widget: string): Promise<string> {
  const result = (await build({
    root: join(ROOT, widget),
    base: "./",
    configFile: false,
    envDir: false,
    logLevel: "warn",
    publicDir: false,
    resolve: {
      // The sources are React; Preact runs them in a tenth of the bytes.
      alias: [
        { find: /^react-dom\/client$/, replacement: "preact/compat/client" },
        { find: /^react\/jsx-runtime$/, replacement: "preact/jsx-runtime" },
        { find: /^react(-dom)?$/, replacement: "preact/compat" },
      ],
    },
    build: {
      write: false,
      // `light-dark()` must reach the browser as it is: its stand-in does not follow a host that changes the theme.
      target: ["es2022", "chrome123", "firefox121", "safari17.5"],
      assetsInlineLimit: MAX_BYTES,
      cssCodeSplit: false,
      modulePreload: false,
      sourcemap: false,
      rolldownOptions: { output: { codeSplitting: false } },
    },
  })) as Rollup.RollupOutput;

  const files = new Map(result.output.map((file) => [file.fileName, file.type === "chunk" ? file.code : String(file.source)]));
  const page = files.get("index.html");
  if (page === undefined) throw new Error(`${widget}: the build gave no page`);
  // The replacements are functions because "$&" in a bundle is code, not a pattern.
  return page
    .replace(/<script type="module"[^>]*\ssrc="\.\/([^"]+)"[^>]*><\/script>/g, (_tag, name: string) => script(file(files, name)))
    .replace(/<link rel="stylesheet"[^>]*\shref="\.\/([^"]+)"[^>]*>/g, (_tag, name: string) => style(file(files, name)));
}

function file(files: Map<string, string>, name: string): string {
  const text = files.get(name);
  if (text === undefined) throw new Error(`the page names ${name}, which the build did not make`);
  return text.trim();
}

/** Inside a script element only these two openings would end or nest it. */
function script(code: string): string {
  return `<script type="module">${code.replace(/<(\/script|!--)/gi, "\\x3C$1")}</script>`;
}

function style(css: string): string {
  return `<style>${css.replace(/<\/style/gi, "<\\/style")}</style>`;
}
