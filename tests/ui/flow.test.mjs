// A subscription from its form to its deliveries, in a browser with and without the script.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { browser, receiver, sql, tokens, until, url, visitor } from "./support.mjs";

after(() => browser.close());

for (const javaScriptEnabled of [true, false]) {
  test(`create, change, badge, payload, redeliver, ${javaScriptEnabled ? "with" : "without"} JavaScript`, async () => {
    const { context, page, faults } = await visitor(tokens.writer, { javaScriptEnabled });
    const to = await receiver();
    to.told.status = 500;
    to.told.body = "<b>not now</b>";
    const name = `orders ${javaScriptEnabled}`;

    await page.click("text=Subscriptions");
    await page.click("a.button.primary");
    await page.fill("#q", "Sales Order");
    await page.keyboard.press("Enter");
    await page.click("a[href$='?model=sale.order']");
    await page.fill("#name", name);
    await page.selectOption("#event_type", "write");
    await page.selectOption("#condition_field", "id");
    await page.selectOption("#condition_is", "more");
    await page.fill("#condition_value", "0");
    await page.click("button[value=condition]");
    assert.equal(await page.inputValue("#domain"), "[('id', '>', 0)]");
    await page.check("input[name=fields][value=client_order_ref]");
    await page.fill("#webhook_url", to.url);
    await page.click("button[value=dry_run]");
    assert.match(await page.textContent("#main"), /Nothing was written/);
    await page.click("button.primary[value=save]");
    const secret = await page.textContent("#secret-made");
    assert.match(secret, /^whsec_/);
    const id = new URL(await page.getAttribute("form.sheet", "action"), url).pathname.split("/").pop();
    await page.goto(`${url}/subscriptions/${id}`);
    assert.ok(!(await page.content()).includes(secret), "the secret is shown once");

    sql(`update sale_order set client_order_ref = 'ref ' || clock_timestamp() where id = (select min(id) from sale_order)`);
    await to.arrived(1);
    await until("the badge", async () => {
      await page.goto(`${url}/subscriptions?q=${encodeURIComponent(name)}`);
      return (await page.locator(`tr[data-id="${id}"] .badge.bad`).count()) === 1;
    });
    await page.goto(`${url}/deliveries?subscription=${id}`);
    await page.click("td a.row");
    const raw = page.locator("#raw");
    assert.equal(await raw.textContent(), to.requests[0].body, "the page shows the bytes that arrived");
    assert.match(await page.textContent("#main"), /The receiver failed on its side/);
    assert.match(await page.textContent(".timeline pre"), /<b>not now<\/b>/);

    to.told.status = 200;
    await page.click("form.smart button");
    await to.arrived(2);
    assert.equal(to.requests[1].body, to.requests[0].body);
    assert.equal(to.requests[1].headers["webhook-id"], to.requests[0].headers["webhook-id"]);
    await until("the badge to turn", async () => {
      await page.goto(`${url}/subscriptions/${id}`);
      return (await page.textContent("#main")).includes("✓") || (await page.locator(".field .badge.good").count()) > 0;
    });

    await page.click("button[value=test]");
    assert.match(await page.textContent("#tested"), /The test event arrived: 200/);
    await page.click("button[value=deactivate]");
    assert.match(await page.textContent(".crumbs .badge"), /Inactive/);
    await page.click("button[value=activate]");
    assert.match(await page.textContent(".crumbs .badge"), /Active/);
    assert.equal(sql(`select count(*) from mcp_event_subscription where name = '${name}'`), "1");
    assert.deepEqual(faults, []);
    to.close();
    await context.close();
  });
}

test("a domain is checked while it is typed, with the caret under the place", async () => {
  const { context, page, faults } = await visitor(tokens.writer);
  await page.goto(`${url}/subscriptions/new?model=sale.order`);
  const said = page.locator("#domain-said");
  await page.fill("#domain", "[('stat', '=', 'sale')]");
  await until("the caret", async () => (await said.textContent()).includes("^^^^^^"));
  const lines = (await said.textContent()).split("\n");
  const caret = lines.findIndex((line) => line.includes("^^^^^^"));
  assert.equal(lines[caret].indexOf("^"), lines[caret - 1].indexOf("'stat'"), lines.join("\n"));
  await page.fill("#domain", "[('id', '>', 0)]");
  const count = sql("select count(*) from sale_order");
  await until("the count", async () => (await said.textContent()).startsWith(`${count} record`));
  await page.selectOption("#template", "slack");
  await until("the preview", async () => (await page.textContent("#sample")).includes('"text"'));
  assert.equal(await page.locator("input[name=fields][value=priority]").count(), 0);
  assert.deepEqual(faults, []);
  await context.close();
});

test("the keyboard alone is enough, and several are chosen at once", async () => {
  const { context, page, faults } = await visitor(tokens.admin);
  await page.goto(`${url}/subscriptions`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.focus("[data-all]");
  await page.keyboard.press("Space");
  const rows = await page.locator("tbody tr").count();
  assert.match(await page.textContent("[data-chosen]"), new RegExp(`^${rows} chosen`));
  assert.deepEqual(faults, []);
  await context.close();
});
