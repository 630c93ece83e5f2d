// Types in VS Code (code-server) in a headless Chromium and looks at what it shows.
//
//   node vscode_drive.mjs PLAN.json       writes one line of JSON: what was seen for each file
//
// PLAN: { playwright, chromium, url, captures, files: [{ name, path, typed, ghosts, saved }] }
// Between the first file and the second the connection is restarted.
// Everything waits for something to be seen; nothing waits for a time to pass.

import { readFile, watch } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

const LIMIT_MS = 90_000;

const STATUS = '.statusbar-item[id*="hearth.status"] a';
const ANSWERING = '[aria-label^="Hearth ready"], [aria-label^="Hearth degraded"]';
const EDITOR = ".editor-instance .monaco-editor";
// VS Code splits a ghost by colour, keeps hidden ones in the page, and draws blanks as U+00A0.
const GHOST = `[...document.querySelectorAll("${EDITOR} .ghost-text-decoration, ${EDITOR} .ghost-text")]
  .filter((part) => part.offsetParent !== null && part.parentElement.closest(".ghost-text") === null)
  .map((part) => part.textContent.replaceAll("\\u00a0", " ")).join("")`;

const plan = JSON.parse(await readFile(process.argv[2], "utf8"));
const { chromium } = createRequire(import.meta.url)(plan.playwright);

const browser = await chromium.launch({
  executablePath: plan.chromium,
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage({ viewport: { width: 1100, height: 700 } });
page.setDefaultTimeout(LIMIT_MS);
try {
  const seen = [];
  for (const file of plan.files) {
    seen.push(await completeIn(file));
    if (seen.length === 1) {
      await showStatus();
      await restart();
    }
  }
  console.log(JSON.stringify(seen));
} catch (error) {
  await capture("failure");
  throw error;
} finally {
  await browser.close();
}

async function completeIn(file) {
  await open(file);
  await page.locator(STATUS).and(page.locator(ANSWERING)).waitFor();
  const status = await page.locator(STATUS).getAttribute("aria-label");
  await page.locator(`${EDITOR} .view-lines`).first().click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(file.typed, { delay: 25 });
  const typed = performance.now();
  await page.waitForFunction(`${JSON.stringify(file.ghosts)}.includes(${GHOST})`);
  const ghostMs = Math.round(performance.now() - typed);
  const ghost = await page.evaluate(GHOST);
  await capture(`vscode-${file.name}-ghost`);
  await page.keyboard.press("Tab");
  await page.waitForFunction(`${GHOST} === ""`);
  await page.keyboard.press("Control+s");
  const saved = await savedText(file);
  await capture(`vscode-${file.name}-saved`);
  return { name: file.name, status, ghost, ghostMs, saved };
}

async function open(file) {
  const payload = JSON.stringify([["openFile", `vscode-remote://${new URL(plan.url).host}${file.path}`]]);
  const folder = encodeURIComponent(dirname(file.path));
  await page.goto(`${plan.url}?folder=${folder}&payload=${encodeURIComponent(payload)}`);
  await page.locator(`.tab.active[data-resource-name="${basename(file.path)}"]`).waitFor();
}

async function runCommand(title) {
  await page.keyboard.press("F1");
  await page.locator(".quick-input-widget input").fill(`>${title}`);
  await page.locator(".quick-input-list .monaco-list-row", { hasText: title }).first().click();
}

async function showStatus() {
  await runCommand("Hearth: Show Status");
  const toast = page.locator(".notification-toast", { hasText: "Hearth is" });
  await toast.waitFor();
  await capture("vscode-status");
  await runCommand("Notifications: Clear All Notifications");
  await toast.waitFor({ state: "detached" });
}

// A restart is quick: what the item said meanwhile is recorded, and must have been more than "ready".
async function restart() {
  await page.locator(STATUS).evaluate((item) => {
    const said = (window.hearthSaid = []);
    const note = () => said.push(item.getAttribute("aria-label") ?? "");
    new MutationObserver(note).observe(item, { attributeFilter: ["aria-label"] });
  });
  await runCommand("Hearth: Restart the Connection");
  await page.waitForFunction(() => window.hearthSaid.some((label) => label.startsWith("Hearth loading")));
  await page.locator(STATUS).and(page.locator(ANSWERING)).waitFor();
}

// What is on the disk once it is what was hoped for, or when the limit has passed.
async function savedText(file) {
  const read = () => readFile(file.path, "utf8");
  const limit = AbortSignal.timeout(10_000);
  try {
    const changes = watch(dirname(file.path), { signal: limit });
    const next = changes.next();
    if ((await read()) === file.saved) {
      return file.saved;
    }
    for (let change = await next; !change.done; change = await changes.next()) {
      if ((await read()) === file.saved) {
        break;
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      throw error;
    }
  }
  return read();
}

async function capture(name) {
  await page.screenshot({ path: join(plan.captures, `${name}.png`), animations: "disabled" });
}
