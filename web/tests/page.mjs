// The page in a real browser, against a real server: `node page.mjs PROGRAM [SCREENSHOTS]`.
//
// PROGRAM is `medparse`, with the bundled model and an untrained second one, or the server's example `stub`; CHROMIUM
// names the browser, /usr/bin/chromium by default. PAGE_FILES=FOLDER takes the page's files from a folder instead of the program.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { chromium } from "playwright-core";
import { dicom, nifti, png } from "./fixtures.mjs";

const [program, shots] = process.argv.slice(2);
const state = mkdtempSync(join(tmpdir(), "medparse-page-"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TINY = new URL("../../testdata/tiny.yaml", import.meta.url).pathname;
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

const isReal = basename(program) === "medparse";
// What the model marks in the example, and another phrase; the stub marks something for both.
const [FIRST, SECOND] = isReal ? ["nuclei", "cell nucleus"] : ["neoplastic cells", "inflammatory cells"];
const READY = isReal ? /medparse-small · / : "bundled · f32";

async function serve(port = 0) {
  const second = join(state, "second.safetensors");
  if (isReal && !existsSync(second)) execFileSync(program, ["model", "init", second, "--config", TINY], { stdio: "ignore" });
  const own = ["--state", state, "--port", String(port)];
  const flags = isReal ? ["serve", "--auth", "--model", "bundled", "--model", second, ...own] : ["--grant", "--delay-ms", "20", ...own];
  const child = spawn(program, flags, { stdio: ["ignore", "pipe", "ignore"] });
  let said = "";
  await new Promise((resolve, reject) => {
    child.once("exit", () => reject(new Error(`${program} ended: ${said}`)));
    child.stdout.on("data", (part) => {
      said += part;
      if (/key \S+\n|\ncurl /.test(said)) resolve();
    });
  });
  const url = said.match(/http:\/\/[^/\s]+/)[0];
  const grant = ["keys", "create", "--scope", "score,manage,metrics", "--state", state];
  const key = isReal ? execFileSync(program, grant, { stdio: ["ignore", "pipe", "ignore"] }).toString().trim() : said.match(/key (\S+)/)[1];
  return { child, url, key };
}

async function stop({ child }) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

let server = await serve();
const { url, key } = server;
const port = Number(new URL(url).port);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS.split(" ") });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", acceptDownloads: true });
const page = await context.newPage();
const faults = [];
const foreign = [];
page.on("pageerror", (error) => faults.push(error.message));
page.on("console", (message) => message.text().includes("Content Security Policy") && faults.push(message.text()));
page.on("request", (request) => {
  if (!request.url().startsWith(url) && !request.url().startsWith("blob:") && !request.url().startsWith("data:")) foreign.push(request.url());
});
if (process.env.PAGE_FILES) {
  const kinds = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
  await page.route(/\/ui\/(?!example)/, async (route) => {
    const path = new URL(route.request().url()).pathname.slice(4) || "index.html";
    await route.fulfill({ body: readFileSync(join(process.env.PAGE_FILES, path)), contentType: kinds[extname(path)] });
  });
}

let count = 0;
async function step(name, run) {
  const started = performance.now();
  try {
    await run();
  } catch (error) {
    await shot("failed");
    console.error(`FAILED ${name}: ${error.stack}\non the page: ${faults.join("\n")}\n${await page.locator("#toast").textContent()}`);
    await end(1);
  }
  console.log(`${String(++count).padStart(2)} ${name} (${Math.round(performance.now() - started)} ms)`);
}

async function shot(name) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`) });
}

async function end(code) {
  await browser.close();
  await stop(server).catch(() => {});
  rmSync(state, { recursive: true, force: true });
  process.exit(code);
}

async function accessible(where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
  const said = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  assert.deepEqual(said, [], `accessibility of ${where}`);
}

const layer = (phrase) => page.locator(".layer", { hasText: phrase });
const facts = (phrase) => layer(phrase).locator(".facts");
const says = (phrase, what) => layer(phrase).locator(".facts", { hasText: what }).waitFor();
const area = async (phrase) => Number((await facts(phrase).textContent()).match(/([\d,]+) px/)?.[1].replaceAll(",", "") ?? 0);

async function ask(phrases) {
  await page.fill("#phrase", phrases);
  await page.press("#phrase", "Enter");
  for (const phrase of phrases.split("&")) await says(phrase.trim(), /px|Nothing/);
  await page.locator("#busy").waitFor({ state: "hidden" });
}

async function open(files) {
  await page.setInputFiles("#file", files);
  await page.locator("#busy").waitFor({ state: "hidden" });
  await page.locator("#tools").waitFor();
}

async function download(button) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

await step("the page paints soon and is small", async () => {
  const sizes = [];
  page.on("response", async (response) => sizes.push((await response.body().catch(() => Buffer.alloc(0))).length));
  await page.goto(`${url}/ui/`);
  await page.waitForLoadState("networkidle");
  // A second visit, as the browser's own start-up is not the page's.
  await page.reload({ waitUntil: "networkidle" });
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  const total = sizes.reduce((sum, size) => sum + size, 0) / 2;
  console.log(`   first paint ${Math.round(paint)} ms, page ${Math.round(total / 1000)} kB`);
  assert.ok(total < 300_000, `${total} bytes`);
  await shot("1-welcome");
});

await step("without a key, and with a wrong one, it says what is missing", async () => {
  await page.getByText("A key is needed").first().waitFor();
  await page.click("#key-button");
  await page.fill("#key-input", "wrong");
  await page.click("#key-form [type=submit]");
  await page.getByText("The key is not valid").first().waitFor();
  await accessible("the key dialog");
  await page.fill("#key-input", key);
  await page.click("#key-form [type=submit]");
  await page.getByText(READY).first().waitFor();
  assert.equal(await page.evaluate(() => localStorage.getItem("medparse-key")), null);
});

await step("a PNG is opened and two phrases are asked", async () => {
  await page.click("#example");
  await page.locator("#tools").waitFor();
  if (isReal) await page.selectOption("#modality", await page.locator("#modality option", { hasText: "cell" }).first().innerText());
  await page.getByRole("button", { name: FIRST }).click();
  await says(FIRST, /px/);
  const before = await facts(FIRST).textContent();
  await ask(SECOND);
  assert.equal(await page.locator(".layer").count(), 2);
  assert.equal(await facts(FIRST).textContent(), before, "a new phrase changes no layer that is there");
  assert.match(await page.locator("#readout").textContent(), /the picture was known/);
  await shot("2-asked");
  await accessible("the asked picture");
});

await step("a phrase outside the model's targets is warned about", async () => {
  await ask("bicycle");
  assert.match(await page.locator("#ask-note").textContent(), /“bicycle”: not among/);
  await layer("bicycle").getByRole("button", { name: "Remove bicycle" }).click();
  assert.equal(await page.locator(".layer").count(), 2);
});

await step("layers are switched, drawn and cut", async () => {
  const pixels = () => page.locator("#canvas").evaluate((canvas) => canvas.toDataURL());
  const both = await pixels();
  await layer(FIRST).getByRole("checkbox").uncheck();
  await page.waitForTimeout(60);
  assert.notEqual(await pixels(), both);
  await layer(FIRST).getByRole("checkbox").check();
  const wide = await area(FIRST);
  await page.locator("#threshold").fill("0.8");
  const narrow = await area(FIRST);
  assert.ok(narrow < wide && narrow > 0, `${narrow} of ${wide}`);
  await page.locator("#threshold").fill("0.5");
  assert.equal(await area(FIRST), wide);
  await page.getByRole("radio", { name: "Outline" }).click();
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.getByRole("radio", { name: "Fill" }).getAttribute("aria-checked"), "true");
  await page.getByRole("radio", { name: "Both" }).click();
});

await step("phrases can be asked jointly", async () => {
  // Whether masks change with their company is the model's affair: what is asked, and that the answer is shown, is the page's.
  const answered = (together, phrases) =>
    page.waitForResponse((reply) => {
      if (!reply.url().endsWith("/segment")) return false;
      const asked = reply.request().postDataJSON();
      return asked.together === together && asked.prompts.toSorted().join() === phrases.toSorted().join();
    });
  const shown = async (reply) => {
    for (const { prompt, area_px } of (await (await reply).json()).prompts) await says(prompt, `${area_px.toLocaleString("en")} px`);
  };
  await page.getByText("How to ask").click();
  const together = answered("joint", [FIRST, SECOND]);
  await page.check("#joint");
  await shown(together);
  const alone = [FIRST, SECOND].map((phrase) => answered("alone", [phrase]));
  await page.uncheck("#joint");
  for (const reply of alone) await shown(reply);
});

await step("masks, overlay, report, curl and Python are taken away", async () => {
  const masks = await download("#save-masks");
  assert.equal(masks.name, "cells_masks.zip");
  assert.equal(masks.bytes.readUInt32LE(0), 0x04034b50);
  assert.ok(masks.bytes.includes(`cells__${FIRST.replace(" ", "_")}.png`));
  const overlay = await download("#save-overlay");
  assert.equal(overlay.bytes.subarray(1, 4).toString(), "PNG");
  const report = JSON.parse((await download("#save-report")).bytes);
  assert.deepEqual(report.answers.map(({ prompt }) => prompt), [FIRST, SECOND]);
  assert.equal(report.answers[0].area_px, await area(FIRST));
  await page.click("#show-curl");
  assert.match(await page.locator("#code").textContent(), /curl http.*\/api\/v1\/segment/s);
  await page.click("#code-close");
  await page.click("#show-python");
  assert.match(await page.locator("#code").textContent(), /urllib\.request/);
  await accessible("the code dialog");
  await page.click("#code-close");
});

await step("a reference mask gives a Dice", async () => {
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#reference")]);
  await chooser.setFiles({ name: "mask.png", mimeType: "image/png", buffer: png(512, 384, (x) => x > 200) });
  await says(FIRST, /Dice/);
  await page.click("#reference");
});

await step("a DICOM series is opened, with its spacing", async () => {
  const files = Array.from({ length: 6 }, (_, slice) => ({ name: `${slice}.dcm`, mimeType: "application/dicom", buffer: dicom(128, slice) }));
  await open(files);
  assert.match(await page.locator("#slice-text").textContent(), /4 \/ 6/);
  await page.getByRole("radio", { name: "Coronal" }).click();
  assert.match(await page.locator("#slice-text").textContent(), /65 \/ 128/);
  await page.getByRole("radio", { name: "Axial" }).click();
  await page.selectOption("#tone", { label: "Lung" });
  assert.equal(await page.locator("#tone-values").textContent(), "-1000 to 1000");
  await page.selectOption("#tone", { label: "Abdomen" });
  await ask("liver");
  // A phantom holds nothing that a trained model finds.
  assert.match(await facts("liver").textContent(), isReal ? /Nothing/ : /mm²/);
  for (const [format, name] of [["dicom-seg", "0.seg.dcm"], ["rtstruct", "0.rtstruct.dcm"], ["geojson", "0.geojson"]]) {
    await page.selectOption("#mask-format", format);
    const file = await download("#save-masks");
    assert.equal(file.name, name);
    assert.ok(name.endsWith(".dcm") ? file.bytes.subarray(128, 132).toString() === "DICM" : JSON.parse(file.bytes));
  }
  await shot("3-dicom");
  await open([files[0]]);
});

await step("a NIfTI volume is opened, asked as a whole, cancelled, and taken away", async () => {
  await open([{ name: "scan.nii.gz", mimeType: "application/gzip", buffer: nifti(96, 80, 24, [1, 1, 3]) }]);
  await ask("spleen");
  await page.click("#whole");
  await page.locator("#progress").waitFor();
  await page.click("#cancel");
  await page.locator("#progress").waitFor({ state: "hidden" });
  await page.click("#whole");
  await page.locator("#progress").waitFor();
  await page.locator("#progress").waitFor({ state: "hidden" });
  assert.match(await facts("spleen").textContent(), isReal ? /24 slices|Nothing/ : /24 slices .* ml/);
  await page.getByRole("radio", { name: "Sagittal" }).click();
  await shot("4-sagittal");
  const mask = await download("#save-masks");
  assert.equal(mask.name, "scan.nii.gz");
  assert.equal(mask.bytes.readUInt16BE(0), 0x1f8b);
});

await step("a volume of 512×512×120 scrolls", async () => {
  await open([{ name: "large.nii.gz", mimeType: "application/gzip", buffer: nifti(512, 512, 120, [0.7, 0.7, 2.5]) }]);
  await page.evaluate(() => document.querySelector("#canvas").focus());
  const times = await page.evaluate(async () => {
    const slice = document.querySelector("#slice");
    const frames = [];
    for (let at = 0; at < 120; at++) {
      const started = performance.now();
      slice.value = String(at);
      slice.dispatchEvent(new Event("input"));
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      frames.push(performance.now() - started);
    }
    return frames.sort((a, b) => a - b);
  });
  console.log(`   two frames take ${times[60].toFixed(1)} ms in the middle: ${(2000 / times[60]).toFixed(0)} frames/s (software drawing, shared machine)`);
  await shot("5-volume");
});

await step("a second model is deployed and tested", async () => {
  await page.click("nav >> text=Models");
  await page.getByRole("searchbox").fill("second");
  await page.locator(".card").first().waitFor();
  assert.equal(await page.locator(".card").count(), 1);
  await accessible("the models");
  await page.getByRole("button", { name: "Deploy…" }).click();
  await page.fill("[name=name]", "green");
  await page.fill("[name=traffic]", "30");
  await page.fill("[name=expires]", "168h");
  await accessible("the form of a deployment");
  await shot("6-deploy");
  await page.click("#form-dialog [type=submit]");
  await page.getByText("green is ready and gets 30 %").waitFor();
  await page.getByRole("button", { name: "Test green" }).click();
  await page.getByText(/green answered in/).waitFor();
  await shot("7-models");
  const reply = await context.request.post(`${url}/api/v1/segment`, {
    headers: { Authorization: `Bearer ${key}`, "azureml-model-deployment": "green" },
    data: { image: png(8, 8, (x) => x > 3).toString("base64"), prompts: ["a"] },
  });
  assert.equal((await reply.json()).deployment, "green");
});

await step("a deployment is chosen to answer", async () => {
  await page.click("nav >> text=Look");
  await page.getByLabel("Answered by").locator("option", { hasText: "green" }).waitFor({ state: "attached" });
  const asked = page.waitForResponse((reply) => reply.url().endsWith("/segment"));
  await page.selectOption("#answerer", { label: "medparse / green" });
  await ask(FIRST);
  assert.equal((await (await asked).json()).deployment, "green");
  await page.click("#show-curl");
  assert.match(await page.locator("#code").textContent(), /endpoints\/medparse\/segment.*azureml-model-deployment: green/s);
  await page.click("#code-close");
  await accessible("the choice of a deployment");
  await shot("7-answerer");
  await page.click("nav >> text=Models");
  await page.getByRole("button", { name: "Delete green" }).click();
  await page.click("#form-dialog [type=submit]");
  await page.getByText("green", { exact: true }).waitFor({ state: "detached" });
  await page.click("nav >> text=Look");
  await page.locator("#answerer-box").waitFor({ state: "hidden" });
});

await step("a key is granted, used, revoked, and refused", async () => {
  await page.click("nav >> text=Keys");
  await page.getByRole("button", { name: "Grant a key…" }).click();
  await page.fill("[name=label]", "ward 7");
  await page.fill("[name=expires]", "90d");
  await page.click("#form-dialog [type=submit]");
  const made = await page.locator(".secret").textContent();
  const status = async () => {
    const data = { image: png(8, 8, () => true).toString("base64"), prompts: ["a"] };
    const reply = await context.request.post(`${url}/api/v1/segment`, { headers: { Authorization: `Bearer ${made}` }, data });
    return reply.status();
  };
  assert.equal(await status(), 200);
  await accessible("the keys");
  await shot("8-keys");
  await page.getByRole("button", { name: /^Revoke ward 7/ }).click();
  await page.click("#form-dialog [type=submit]");
  await page.getByText("Revoked.").waitFor();
  assert.equal(await status(), 401);
});

await step("the server goes and comes back", async () => {
  await page.click("nav >> text=Look");
  await stop(server);
  await page.fill("#phrase", "aorta");
  await page.press("#phrase", "Enter");
  await page.getByText("The server does not answer").first().waitFor();
  server = await serve(port);
  await page.getByText(READY).first().waitFor();
});

await step("dark, on a tablet's width, by keyboard", async () => {
  await page.click("#theme-button");
  await page.setViewportSize({ width: 820, height: 1100 });
  await accessible("the dark page");
  await shot("9-tablet");
  await page.locator("#canvas").focus();
  const before = await page.locator("#slice").inputValue();
  await page.keyboard.press("ArrowDown");
  assert.equal(Number(await page.locator("#slice").inputValue()), Math.min(Number(before) + 1, 119));
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
});

await step("nothing went wrong on the way, and nothing was asked elsewhere", async () => {
  assert.deepEqual(faults, []);
  assert.deepEqual(foreign, []);
});
await end(0);
