// What somebody may not do, another site cannot do in his name, and nobody can after he left.
import assert from "node:assert/strict";
import http from "node:http";
import { after, test } from "node:test";
import { browser, sql, tokens, until, url, visitor } from "./support.mjs";

after(() => browser.close());

test("a reader has no buttons", async () => {
  sql(`insert into mcp_event_subscription (model, event_type, name, user_id) values ('res.partner', 'create', 'to be read', 2)`);
  const { context, page, faults } = await visitor(tokens.reader);
  await page.goto(`${url}/subscriptions?q=to+be+read`);
  await page.click("a.row");
  // The search, and the way out.
  assert.equal(await page.locator("main button:visible").count(), 0);
  assert.ok(await page.locator("#name").isDisabled());
  const answer = await page.goto(`${url}/subscriptions/new`);
  assert.equal(answer.status(), 403);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a form of another site does nothing, though the browser is logged in", async () => {
  const { context, page } = await visitor(tokens.writer);
  await page.goto(`${url}/subscriptions`);
  const formToken = await page.inputValue("input[name=form_token]");
  // Another name of this machine: another site to a browser.
  const evil = http.createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<form method="post" action="${url}/subscriptions/bulk"><input name="form_token" value="${formToken}">
      <input name="ids" value="1"><input name="action" value="deactivate"><button>win</button></form>`);
  });
  await new Promise((listening) => evil.listen(0, "127.0.0.1", listening));
  const other = await context.newPage();
  await other.goto(`http://127.0.0.1:${evil.address().port}/`);
  const [answer] = await Promise.all([other.waitForNavigation(), other.click("button")]);
  assert.equal(answer.status(), 403);
  evil.close();
  await context.close();
});

test("logging out ends the session in a second tab, and the back button shows nothing", async () => {
  const { context, page } = await visitor(tokens.admin);
  const second = await context.newPage();
  await page.goto(`${url}/health`);
  await second.goto(`${url}/subscriptions`);
  await page.click("text=Log out");
  await page.waitForURL(/\/login/);
  await page.goBack().catch(() => {});
  await until("the login page", async () => page.url().includes("/login") && (await page.locator("#token").count()) === 1);
  await second.click("text=Deliveries");
  await second.waitForURL(/\/login/);
  await context.close();
});

test("a link of another site leads to the page and not to the login", async () => {
  const { context } = await visitor(tokens.admin);
  const site = http.createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<a href="${url}/deliveries?status=failed">look</a>`);
  });
  await new Promise((listening) => site.listen(0, "127.0.0.1", listening));
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.click("a");
  await page.waitForSelector("h1:has-text('Deliveries')");
  site.close();
  await context.close();
});
