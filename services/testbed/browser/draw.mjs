// Pictures of pages, and pages as they are printed, by a headless Chromium that is spoken to over its own pipe: no port, no package.
// node draw.mjs CHROMIUM WIDTH light|dark PAGE.html PICTURE.png|PRINT.pdf [PAGE PICTURE ...]
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { indexed } from "./indexed.mjs";

const [chromium, width, scheme, ...files] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "tokentrail-browser-"));
const args = ["--headless", "--no-sandbox", "--no-zygote", "--single-process", "--in-process-gpu", "--disable-gpu", "--hide-scrollbars",
  "--font-render-hinting=none", "--no-first-run", "--disable-extensions", `--user-data-dir=${profile}`, "--remote-debugging-pipe"];
const fonts = join(dirname(chromium), "fonts.conf");
const env = existsSync(fonts) ? { ...process.env, FONTCONFIG_FILE: fonts } : process.env;
const browser = spawn(chromium, args, { env, stdio: ["ignore", "ignore", "inherit", "pipe", "pipe"] });
const [, , , to, from] = browser.stdio;

let last = 0, left = "";
const waiting = new Map(), events = new Map();
from.setEncoding("utf8").on("data", (data) => {
  const parts = (left + data).split("\0");
  left = parts.pop();
  for (const text of parts) {
    const said = JSON.parse(text);
    if (said.id === undefined) events.get(said.method)?.(said.params);
    else if (said.error) waiting.get(said.id)[1](new Error(said.error.message));
    else waiting.get(said.id)[0](said.result);
  }
});
const send = (method, params = {}, sessionId) =>
  new Promise((...both) => {
    waiting.set(++last, both);
    to.write(JSON.stringify({ id: last, method, params, sessionId }) + "\0");
  });
browser.on("exit", (code) => {
  rmSync(profile, { recursive: true, force: true });
  process.exit(files.length > 0 ? code || 1 : 0);
});

const { targetId } = await send("Target.createTarget", { url: "about:blank" });
const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
const page = (method, params) => send(method, params, sessionId);
const size = (height) => page("Emulation.setDeviceMetricsOverride", { width: Number(width), height, deviceScaleFactor: 1, mobile: false });
const picture = async () => {
  // As high as the page is.
  await size(Math.ceil((await page("Page.getLayoutMetrics")).cssContentSize.height));
  const { data } = await page("Page.captureScreenshot", { format: "png" });
  return indexed(Buffer.from(data, "base64"));
};
const printed = async () => {
  const { data } = await page("Page.printToPDF", { preferCSSPageSize: true, printBackground: true });
  return Buffer.from(data, "base64");
};
await page("Page.enable");
await page("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
while (files.length > 0) {
  await size(200);
  const loaded = new Promise((done) => events.set("Page.loadEventFired", done));
  await page("Page.navigate", { url: pathToFileURL(resolve(files[0])).href });
  await loaded;
  const drawn = files[1].endsWith(".pdf") ? await printed() : await picture();
  writeFileSync(files[1], drawn);
  files.splice(0, 2);
}
browser.kill();
