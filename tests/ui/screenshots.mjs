// The pictures of the documents: a list, a form, a delivery, the figures.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.UI_TOOLS}/`)("playwright-core");

/** The demonstration prints it twice; the second one is good when its own acts are over. */
async function link() {
  for (let tries = 0; tries < 600; tries += 1) {
    const links = readFileSync(process.env.UI_SAID, "utf8").match(/http:\/\/localhost:\d+\/login\S+/g);
    if (links) return links.at(-1);
    await new Promise((tick) => setTimeout(tick, 100));
  }
  throw new Error("the demonstration printed no link");
}

const browser = await chromium.launch({
  executablePath: process.env.UI_CHROMIUM,
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
const context = await browser.newContext({ viewport: { width: 1180, height: 600 }, timezoneId: "UTC" });
const page = await context.newPage();
const url = new URL(await link());
await page.goto(url.href);
await page.click("button.primary");
// Until every kind of subscription has something to show.
await page.goto(`${url.origin}/deliveries?subscription=4`);
for (let tries = 0; tries < 60 && (await page.locator("tbody tr").count()) < 4; tries += 1) {
  await new Promise((tick) => setTimeout(tick, 1000));
  await page.reload();
}
const delivery = await page.locator("td a.row").first().getAttribute("href");
for (const [name, path, colorScheme] of [
  ["page-subscriptions", "/subscriptions", "light"],
  ["page-delivery", delivery, "dark"],
  ["page-dashboard", "/dashboard?days=7&tz=UTC", "light"],
]) {
  await page.emulateMedia({ colorScheme });
  await page.goto(url.origin + path);
  await page.screenshot({ path: `.packaging/${name}.png` });
}
await browser.close();
