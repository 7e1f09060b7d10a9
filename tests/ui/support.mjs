// A browser, a receiver and a database for the tests of the page.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import assert from "node:assert/strict";

const require = createRequire(`${process.env.UI_TOOLS}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const url = process.env.UI_URL;
export const tokens = { admin: process.env.UI_ADMIN, writer: process.env.UI_WRITER, reader: process.env.UI_READER };

/** One browser for a file of tests. As root it has no sandbox of its own. */
export const browser = await chromium.launch({
  executablePath: process.env.UI_CHROMIUM,
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});

/** What SQL answers, as Odoo's role: lines of columns with a tab in between. */
export function sql(statement) {
  const options = ["--no-psqlrc", "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", process.env.UI_DATABASE_URL, "-c", statement];
  return execFileSync(process.env.UI_PSQL, options, { encoding: "utf8" }).trimEnd();
}

/** A receiver that answers as it is told, and keeps what came. */
export async function receiver() {
  const requests = [];
  const waiting = [];
  const told = { status: 200 };
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    requests.push({ headers: request.headers, body: Buffer.concat(parts).toString("utf8") });
    response.statusCode = told.status;
    response.end(told.body ?? "");
    while (waiting.length > 0 && requests.length >= waiting[0].count) waiting.shift().arrived();
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${server.address().port}/hook`,
    requests,
    told,
    close: () => server.close(),
    arrived: (count) =>
      new Promise((arrived) => (requests.length >= count ? arrived() : waiting.push({ count, arrived }))),
  };
}

/** A window of somebody who is logged in; whatever its pages complain of or ask elsewhere is noted in `faults`. */
export async function visitor(token, options = {}) {
  const context = await browser.newContext({ timezoneId: "Europe/Brussels", ...options });
  const faults = [];
  context.on("page", (page) => watch(page, faults));
  const page = await context.newPage();
  await page.goto(`${url}/login`);
  await page.fill("#token", token);
  await page.click("button.primary");
  await page.waitForURL((now) => !now.pathname.endsWith("/login"));
  return { context, page, faults };
}

function watch(page, faults) {
  page.on("console", (message) => {
    // What a page that is refused is answered with is no fault of the page's.
    const isStatus = message.text().startsWith("Failed to load resource: the server responded with a status of 4");
    if (["error", "warning"].includes(message.type()) && !isStatus) faults.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => {
    faults.push(`${page.url()}: a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`) && !request.url().startsWith("data:")) faults.push(`asked ${request.url()}`);
  });
}

/** Refuses what axe finds on a page as it is now. */
export async function accessible(page, what) {
  // Past the page's own policy: it is the tester's script and not the page's.
  await page.evaluate(`${axe}; undefined`);
  const found = await page.evaluate(() =>
    axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  const told = found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join(" | ")}`);
  assert.deepEqual(told, [], what);
}

/** Asks until it is so. */
export async function until(what, ask) {
  const ends = Date.now() + 60_000;
  for (;;) {
    const got = await ask();
    if (got) return got;
    assert.ok(Date.now() < ends, `${what} did not come`);
    await new Promise((tick) => setTimeout(tick, 100));
  }
}
