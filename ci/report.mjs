// Looks at a page that `trine report` wrote, in a headless Chromium: `node report.mjs page.html data.json`.
// Each line of output is a check; the exit code says whether all held.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [file, json] = process.argv.slice(2);
const data = JSON.parse(readFileSync(json, "utf8"));
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
let failed = 0;

function check(sentence, holds, found = "") {
  console.log(`check: ${sentence} ... ${holds ? "ok" : `FAILED ${found}`}`);
  failed += holds ? 0 : 1;
}

/** Calls `look` with the page in a browser of this size, with a profile of its own. */
async function browse({ width, height, colorScheme, hasTouch }, look) {
  const profile = mkdtempSync(join(tmpdir(), "trine-page-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args, timeout: 120000,
    viewport: { width, height }, colorScheme, hasTouch, isMobile: hasTouch,
  });
  try {
    const page = await context.newPage();
    const [complaints, requests] = [[], []];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => requests.push(request.url()));
    const address = pathToFileURL(resolve(file)).href;
    await page.goto(address);
    await page.waitForSelector(".roofline-plot");
    await look(page, `${width} × ${height}, ${colorScheme}`);
    check(`${width} wide, ${colorScheme}: nothing on the console`, complaints.length === 0, complaints);
    check(`${width} wide, ${colorScheme}: nothing asked of the network`, requests.every((url) => url === address), requests);
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(`${width} wide, ${colorScheme}: the page is no wider than the window`, wider <= 0, wider);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

const count = (page, selector) => page.locator(selector).count();

async function plots(page) {
  const usual = data.rows.filter((row) => row.threads === data.settings.threads);
  const points = await count(page, ".roofline-plot .point");
  check("a point of the roofline for each row", points === usual.length, points);
  const cards = await count(page, ".shape-card");
  check("a card for each shape", cards === data.settings.shapes.length, cards);
  const bars = await count(page, ".shape-card:first-of-type .bar");
  check("a bar for each contender", bars === usual[0].timings.length, bars);
  check("a plot of speed over size", (await count(page, "#size .line-plot .series")) === 1 + data.settings.peers.length);
  const scaled = data.rows.some((row) => row.threads !== data.settings.threads);
  check("plots of speed over threads", ((await count(page, "#threads .line-plot")) > 0) === scaled);
  check("the whole step at each shape", (await count(page, "#step .step-card")) === data.settings.shapes.length);
  check("the peak over the time of the run", (await count(page, "#limits .line-plot .point")) === usual.length);
  const embedded = await page.evaluate(() => document.getElementById("data").textContent);
  check("the page holds the data", JSON.stringify(JSON.parse(embedded)) === JSON.stringify(data));
}

async function tips(page) {
  const point = page.locator(".roofline-plot .point").first();
  await point.scrollIntoViewIfNeeded();
  await point.hover({ force: true });
  const text = await page.locator("#tip").innerText();
  check("a pointer on a point says what it is", text.includes("GFLOP/s") && text.includes("FLOP/byte"), text);
  await page.locator("#roofline .chips button").first().click();
  const rest = data.rows.filter((row) => row.threads === data.settings.threads && row.op !== "fwd");
  check("an operation can be left out", (await count(page, ".roofline-plot .point")) === rest.length);
}

async function sorting(page) {
  const heads = page.locator("#rows thead th");
  const names = await heads.allInnerTexts();
  const at = names.findIndex((name) => name.startsWith("GFLOP/s"));
  const column = async () => (await page.locator(`#rows tbody tr > :nth-child(${at + 1})`).allInnerTexts()).map(Number);
  const ordered = (values, sign) => values.every((value, i) => i === 0 || sign * (value - values[i - 1]) >= 0);
  for (const [direction, sign] of [["descending", -1], ["ascending", 1]]) {
    await heads.nth(at).locator("button").click();
    const values = await column();
    const says = await heads.nth(at).getAttribute("aria-sort");
    check(`a click sorts all rows, ${direction}`,
      values.length === data.rows.length && ordered(values, sign) && says === direction, `${says}: ${values}`);
  }
  await page.locator("#rows input").fill("step");
  const found = await count(page, "#rows tbody tr");
  check("rows can be searched", found === data.rows.filter((row) => row.op === "step").length, found);
}

await browse({ width: 1280, height: 900, colorScheme: "light" }, async (page) => {
  await plots(page);
  await tips(page);
  await sorting(page);
});
const grounds = [];
for (const colorScheme of ["light", "dark"]) {
  await browse({ width: 390, height: 844, colorScheme, hasTouch: true }, async (page) => {
    grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    const low = await page.evaluate(() => [...document.querySelectorAll("main button, main select, main input")]
      .filter((element) => element.getBoundingClientRect().height < 30).length);
    const point = page.locator(".roofline-plot .point").first();
    await point.scrollIntoViewIfNeeded();
    await point.tap({ force: true });
    check(`390 wide, ${colorScheme}: a tap on a point says what it is`, await page.locator("#tip").isVisible());
    check(`390 wide, ${colorScheme}: nothing to tap is too small`, low === 0, low);
  });
}
check("dark mode has another ground", grounds[0] !== grounds[1], grounds);
process.exit(failed ? 1 : 0);
