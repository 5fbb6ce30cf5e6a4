// Opens what ebtop exported in headless Chromium, uses it as a person would, and says what it saw as JSON.
//   node drive.mjs svg|html FILE PICTURE_FOLDER
//   node drive.mjs speedscope FILE PICTURE_FOLDER SPEEDSCOPE_RELEASE_FOLDER
// Needs puppeteer-core (npm, in $READERS_MODULES) and Chromium; any attempt to fetch something is a failure.
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.READERS_MODULES || process.cwd(), "noop.js"));
const loaded = require("puppeteer-core");
const puppeteer = loaded.default || loaded;
const [kind, file, pictures, release] = process.argv.slice(2);
const seen = { errors: [], requests: [] };
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", headless: true, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1400, height: 900 });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("dialog", (dialog) => (seen.errors.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) seen.requests.push(request.url());
  });
  const picture = (name) => page.screenshot({ path: join(pictures, `${basename(file)}.${name}.png`) });
  const words = (most) => page.evaluate(() => document.body.innerText).then((text) => text.slice(0, most));
  if (kind === "speedscope") {
    await page.goto(pathToFileURL(join(resolve(release), "index.html")).href);
    const input = await page.waitForSelector("input[type=file]");
    await input.uploadFile(resolve(file));
    await page.waitForFunction(() => document.querySelector("canvas") && !document.querySelector("input[type=file]"), { timeout: 30000 });
    await pause(1000);
    seen.title = await page.title();
    seen.text = await words(500);
    await picture("time-order");
    await page.keyboard.press("3");
    await pause(1000);
    seen.sandwich = await words(2000);
    await picture("sandwich");
  } else {
    await page.goto(pathToFileURL(resolve(file)).href);
    await pause(500);
    const state = () =>
      page.evaluate(() => {
        const svg = document.querySelector("svg.icicle");
        const frames = [...svg.querySelectorAll("g.f")];
        return {
          frames: frames.length,
          shown: frames.filter((g) => !g.classList.contains("n")).length,
          dimmed: frames.filter((g) => g.classList.contains("miss")).length,
          status: svg.querySelector(".status").textContent,
          found: svg.querySelector(".found").textContent,
          width: Math.round(svg.getBoundingClientRect().width),
        };
      });
    seen.opened = await state();
    await picture("opened");
    if (kind === "html") {
      seen.tables = await page.evaluate(() => [...document.querySelectorAll("table")].map((t) => [t.caption?.textContent ?? "", t.rows.length]));
      await page.screenshot({ path: join(pictures, `${basename(file)}.whole.png`), fullPage: true });
    }
    const second = await page.evaluate(() => {
      const g = [...document.querySelectorAll("svg.icicle g.f")].find((each) => each.getAttribute("data-f").endsWith(" 2") && !each.classList.contains("n"));
      g.scrollIntoView({ block: "center" });
      const box = g.querySelector("rect").getBoundingClientRect();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2, name: g.getAttribute("data-n") };
    });
    await page.mouse.click(second.x, second.y);
    await pause(100);
    seen.clicked = { on: second.name, ...(await state()) };
    await picture("zoomed");
    await page.keyboard.press("Escape");
    seen.reset = await state();
    await page.keyboard.press("/");
    await page.keyboard.type(process.env.SEARCH || "send");
    seen.typed = await state();
    await page.keyboard.press("Enter");
    await pause(100);
    seen.searched = await state();
    await picture("searched");
    await page.keyboard.press("n");
    seen.next = await state();
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.keyboard.press("ArrowDown");
    seen.down = await state();
    await page.setViewport({ width: 800, height: 700 });
    await pause(200);
    seen.narrow = await state();
    seen.markup = await page.evaluate(() => ({
      scripts: document.querySelectorAll("script").length,
      foreign: document.querySelectorAll("img,iframe,object,embed,link").length,
      pwned: Boolean(window.pwned),
    }));
    if (seen.markup.foreign || seen.markup.pwned) seen.errors.push("foreign markup");
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen, null, 1));
if (seen.errors.length || seen.requests.length) process.exit(1);
