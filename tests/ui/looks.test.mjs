// Every page, light and dark, wide and on a phone: nothing for axe, for the browser's console, or for another origin; nothing cut off.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { accessible, browser, receiver, sql, tokens, until, url, visitor } from "./support.mjs";

after(() => browser.close());

const ODD = "<script>alert(1)</script> \u202e מכירה \"'&";

/** A page of each kind, with odd names in it. */
async function pages() {
  const to = await receiver();
  to.told.status = 503;
  to.told.body = ODD;
  const quoted = ODD.replaceAll("'", "''");
  const id = sql(
    `insert into mcp_event_subscription (model, event_type, name, connection, fields, webhook_url, created_from, payload_fields)
     values ('sale.order', 'write', '${quoted}', '${quoted}', '{client_order_ref}', '${to.url}', 'ai', '{name,client_order_ref}') returning id`,
  );
  sql(`insert into mcp_event_subscription (model, event_type, domain, name) values ('sale.order', 'write', '[(''nowhere'', ''='', 1)]', 'wrong')`);
  await until("both to be looked at", () => sql("select count(*) from mcp_event_subscription where state is null") === "0");
  sql(`update sale_order set client_order_ref = '${quoted}' where id = (select max(id) from sale_order)`);
  await to.arrived(1);
  const delivery = await until("the attempt", () =>
    sql(`select delivery_id from mcp_webhook_delivery where subscription_id = ${id} and status = 'failed' limit 1`),
  );
  to.close();
  return [
    "/subscriptions", "/subscriptions?show=invalid&q=wrong", "/subscriptions?q=nobody", "/subscriptions/new", "/subscriptions/new?model=sale.order",
    `/subscriptions/${id}`, `/subscriptions/${id}/history`, "/deliveries", `/deliveries/${delivery}`, "/deliveries/redeliver?time=all",
    "/dashboard", "/dashboard?days=90", "/health", "/subscriptions/999999",
  ];
}

test("every page is accessible, keeps to itself and fits, light and dark, wide and 360 pixels", async () => {
  const paths = await pages();
  const { context, page, faults } = await visitor(tokens.admin);
  for (const path of paths) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        if (width === 1280) await page.goto(url + path);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(over <= 0, `${path} at ${width} is ${over} pixels too wide`);
        await accessible(page, `${path} ${colorScheme} ${width}`);
      }
    }
    if (path.includes("/subscriptions/new?")) await page.locator("details.more > summary").click();
    assert.equal(await page.locator("script:not([src])").count(), 0, path);
  }
  assert.deepEqual(faults, []);
  await context.close();
});

test("the login page is accessible too", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const path of ["/login", "/login?link=x", "/login?done=out"]) {
      await page.goto(url + path);
      await accessible(page, `${path} ${colorScheme}`);
    }
  }
  await context.close();
});

test("times are those of whoever looks, with UTC as their title", async () => {
  const { context, page } = await visitor(tokens.admin, { timezoneId: "Asia/Kolkata" });
  await page.goto(`${url}/deliveries`);
  const time = page.locator("td time").first();
  const at = new Date(await time.getAttribute("datetime"));
  const there = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: "Asia/Kolkata" });
  assert.equal(await time.textContent(), there.format(at));
  assert.equal(await time.getAttribute("title"), `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`);
  await context.close();
});
