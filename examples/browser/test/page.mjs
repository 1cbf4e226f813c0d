// The page in headless Chromium, through playwright-core: trains, looks at what is shown, takes pictures.
// `node test/page.mjs [hash]`; CHROMIUM says where the browser is, SCREENSHOTS where pictures go.
import { mkdtemp, mkdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const www = fileURLToPath(new URL('../www/', import.meta.url));
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm' };
const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://page').pathname;
    try {
        const body = await readFile(join(www, path === '/' ? 'index.html' : path));
        response.writeHead(200, { 'content-type': types[extname(path)] ?? (path === '/' ? 'text/html' : 'application/octet-stream') });
        response.end(body);
    } catch {
        response.writeHead(404);
        response.end();
    }
});
await new Promise((resume) => server.listen(0, '127.0.0.1', resume));
const address = `http://127.0.0.1:${server.address().port}/`;

const expected = process.argv[2];
const pictures = process.env.SCREENSHOTS;
if (pictures) await mkdir(pictures, { recursive: true });
const profile = await mkdtemp(join(tmpdir(), 'trine-chromium-'));
const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    viewport: { width: 1280, height: 900 },
});
const patience = { timeout: 240_000 };
let failures = 0;
function check(sentence, holds) {
    console.log(`check: page in Chromium: ${sentence} ... ${holds ? 'ok' : 'FAILED'}`);
    if (!holds) failures++;
}

const complaints = [];
const elsewhere = [];
const page = await browser.newPage();
page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
page.on('pageerror', (error) => complaints.push(String(error)));
page.on('request', (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith('data:')) elsewhere.push(request.url());
});
const text = (id) => page.locator(`#${id}`).textContent();
const number = async (id) => Number.parseFloat(await text(id));
const until = (state) => page.waitForFunction((state) => document.body.dataset.state === state, state, patience);
const picture = async (name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });

try {
    await page.goto(address);
    await page.waitForFunction(() => document.body.dataset.engine, null, patience);
    const engine = await page.evaluate(() => document.body.dataset.engine);
    check(`the engine is ${engine}`, engine === 'simd128');
    const before = await text('hash');

    // A step by hand.
    await page.click('#one');
    await page.waitForFunction((before) => document.querySelector('#hash').textContent !== before, before, patience);
    const first = await number('loss');
    check(`the first loss is near ln 10 (${first})`, Math.abs(first - Math.LN10) < 1);
    check('the pebble graph shows what is in memory', (await page.locator('#pebbles .kept').count()) === 4);
    check('the time in it is measured', (await page.locator('#pebbles').textContent()).includes('measured'));

    // Paused and resumed in the middle, at the pace at which one can watch.
    await page.click('#start');
    await page.waitForFunction(() => Number.parseInt(document.querySelector('#epoch').textContent) >= 2, null, patience);
    await page.click('#start');
    await until('waiting');
    const paused = await text('hash');
    await page.waitForTimeout(300);
    check('paused, it does not go on', (await text('hash')) === paused);
    await picture('desktop-light-paused');
    await page.check('[name=pace][value=full]');
    await page.click('#start');
    await until('done');
    const [loss, accuracy, hash] = [await number('loss'), await number('accuracy'), await text('hash')];
    console.log(`accuracy   ${accuracy} %, loss ${loss}, ${await text('speed')} samples a second, weights ${hash}`);
    check('the loss has fallen', loss < first / 10);
    check('at least 95 % of the test set are recognised', accuracy >= 95);
    if (expected) check(`the weights are ${expected}`, hash === expected);

    // A digit is drawn: a 1, as people write it with a stroke.
    const box = await page.locator('#drawing').boundingBox();
    await page.mouse.move(box.x + 0.35 * box.width, box.y + 0.3 * box.height);
    await page.mouse.down();
    await page.mouse.move(box.x + 0.55 * box.width, box.y + 0.12 * box.height, { steps: 8 });
    await page.mouse.move(box.x + 0.55 * box.width, box.y + 0.88 * box.height, { steps: 12 });
    await page.mouse.up();
    await page.waitForFunction(() => document.querySelector('#bars .best b')?.textContent.includes('%'), null, patience);
    const shares = await page.locator('#bars b').allTextContents();
    const sum = shares.reduce((sum, share) => sum + Number.parseFloat(share), 0);
    check(`ten probabilities sum to 100 % (${shares.join(' ')})`, shares.length === 10 && Math.abs(sum - 100) <= 5);
    check(`what is drawn as a 1 is taken for one: ${await text('verdict')}`, shares.indexOf(await page.locator('#bars .best b').textContent()) === 1);
    await picture('desktop-light');

    // Other settings, and those of the start again.
    await page.selectOption('#batch', '128');
    await page.waitForFunction(() => document.querySelector('#epoch').textContent.startsWith('0'), null, patience);
    await page.click('#start');
    await until('done');
    check('another batch gives other weights', (await text('hash')) !== hash);
    await page.selectOption('#batch', '64');
    await page.waitForFunction(() => document.querySelector('#epoch').textContent.startsWith('0'), null, patience);
    check('reset, the weights are those of the start', (await text('hash')) === before);
    await page.click('#start');
    await until('done');
    check('trained again, the same weights', (await text('hash')) === hash);

    for (const [name, colorScheme, width, height] of [
        ['desktop-dark', 'dark', 1280, 900], ['phone-light', 'light', 390, 844], ['phone-dark', 'dark', 390, 844],
    ]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height });
        await page.waitForTimeout(300);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        check(`${name}: nothing is wider than the screen (${wide} of ${width} px)`, wide <= width);
        await picture(name);
    }
    check(`no error and no warning in the console${complaints.map((line) => `: ${line}`).join('')}`, complaints.length === 0);
    check(`nothing is asked of any other server${elsewhere.map((url) => `: ${url}`).join('')}`, elsewhere.length === 0);
} catch (error) {
    check(String(error.message ?? error), false);
    console.log(complaints.join('\n'));
    await picture('failed');
} finally {
    await browser.close();
    server.close();
    await rm(profile, { recursive: true, force: true });
}
process.exitCode = failures ? 1 : 0;
