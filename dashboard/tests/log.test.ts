// Logs of any size and of any content, read in the browser.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { claim } from "./agents.ts";
import { closeBrowser, isAccessible, type World, world } from "./world.ts";

after(closeBrowser);

async function withJob(run: (w: World) => Promise<void>): Promise<void> {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
    await run(w);
  } finally {
    await w.end();
  }
}

const logOf = (page: Page) => page.getByLabel("Log", { exact: true });

/** Notes how long the page's own thread was ever busy at a stretch. */
async function watchThread(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(() => {
    const all = window as unknown as { longest: number };
    all.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) all.longest = Math.max(all.longest, duration);
    }).observe({ entryTypes: ["longtask"] });
  });
  return () => page.evaluate(() => (window as unknown as { longest: number }).longest);
}

const MIB = 1 << 20;
const BIG_MIB = 200;
/** No task of the page's thread is longer while a large log is open. */
const BUSY_MS_MAX = 200;

test("a log of 200 MB opens at its end, is read to its beginning and searched, and the page stays responsive", async (t) => {
  await withJob(async (w) => {
    const held = await claim(w, "builder-1");
    // Lines of 64 bytes, all different: 3.3 million of them.
    let line = 0;
    for (let part = 0; part < BIG_MIB; part += 1) {
      const bytes = Buffer.alloc(MIB, ".");
      for (let at = 0; at < MIB; at += 64) {
        line += 1;
        bytes.write(`line ${line} `, at);
        bytes.write("\n", at + 63);
      }
      if (part === 150) bytes.write("\u001b[31mneedle in the hay\u001b[0m ", 640);
      await held.write(bytes);
    }
    await held.write("error: this is the end\n");
    await held.tell({ state: "failed", failure: { code: "stepFailed", message: "step test exited with 1" } });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs`);
    await page.getByRole("link", { name: /failed/ }).waitFor();
    const longest = await watchThread(page);
    const began = Date.now();
    await page.getByRole("link", { name: /failed/ }).click();
    const log = logOf(page);
    await log.getByText("this is the end").waitFor();
    const firstMs = Date.now() - began;
    assert.equal(
      await page.locator("[data-log=reading]").count(),
      1,
      "its end is there before its beginning",
    );
    await page.locator("[data-log=read]").waitFor({ timeout: 120_000 });
    const wholeMs = Date.now() - began;
    await log.getByText("this is the end").waitFor();
    await log.getByRole("link", { name: `Line ${line + 1}`, exact: true }).waitFor();
    await log.focus();
    await page.keyboard.press("Home");
    await log.getByText("line 1 ..").waitFor();
    for (let wheel = 0; wheel < 20; wheel += 1) await page.mouse.wheel(0, 900);
    await page.keyboard.press("End");
    await log.getByText("this is the end").waitFor();
    await page.getByLabel("Search the log").fill("NEEDLE in");
    await page.keyboard.press("Enter");
    await page.getByRole("search").getByText("1", { exact: true }).waitFor({ timeout: 60_000 });
    await page.getByLabel("Search the log").press("Enter");
    await page.getByText("1 of 1").waitFor();
    const needle = 150 * (MIB / 64) + 11;
    await log.getByRole("link", { name: `Line ${needle}`, exact: true }).click();
    assert.equal(new URL(page.url()).hash, `#L${needle}`);
    assert.ok(
      (await log.locator("[data-row]").count()) < 200,
      "only rows near those in sight are in the page",
    );
    const busyMs = await longest();
    t.diagnostic(`first lines ${firstMs} ms, all ${wholeMs} ms, longest task ${busyMs} ms`);
    assert.ok(busyMs <= BUSY_MS_MAX, `the page was busy for ${busyMs} ms at a stretch`);
    await isAccessible(page);
    await page.evaluate(() =>
      setTimeout(() => {
        for (const end = performance.now() + 120; performance.now() < end; );
      }),
    );
    // The measure notices a page that is busy.
    await page.waitForFunction(() => (window as unknown as { longest: number }).longest >= 100);
    await page.reload();
    await log.getByText("needle in the hay").waitFor({ timeout: 60_000 });
  });
});

test("a log grows on the screen, stops following when scrolled up, and is followed again", async () => {
  await withJob(async (w) => {
    const held = await claim(w, "builder-1");
    await held.write(Array.from({ length: 300 }, (_, at) => `early ${at + 1}\n`).join(""));
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs/${held.id}`);
    const log = logOf(page);
    await log.getByText("early 300", { exact: true }).waitFor();
    await held.write("half a line");
    await log.getByText("half a line").waitFor();
    await held.write(" is whole now: größer\n");
    await log.getByText("half a line is whole now: größer").waitFor();
    const follow = page.getByRole("button", { name: "Follow" });
    assert.equal(await follow.getAttribute("aria-pressed"), "true");
    await log.hover();
    await page.mouse.wheel(0, -2000);
    await log.getByText("early 200", { exact: true }).waitFor();
    assert.equal(await follow.getAttribute("aria-pressed"), "false");
    await held.write("late\n");
    await page.getByText("302 lines").waitFor();
    assert.equal(await log.getByText("late", { exact: true }).count(), 0, "what is read stays where it is");
    await follow.click();
    await log.getByText("late", { exact: true }).waitFor();
    await w.stopDaemon();
    await w.startDaemon();
    await held.write("after the daemon was away\n");
    await log.getByText("after the daemon was away").waitFor();
    await held.tell({ state: "failed", failure: { code: "stepFailed", message: "step test exited with 1" } });
    await follow.waitFor({ state: "detached" });
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download the log" }).click();
    assert.equal((await downloading).suggestedFilename(), `${held.id}-1.log`);
  });
});

test("what an agent writes is text: no markup, no hidden or reordered characters, colours as the theme has them", async () => {
  await withJob(async (w) => {
    const held = await claim(w, "builder-1");
    const long = "wide ".repeat(400);
    await held.write(
      [
        "<img src=x onerror=alert(1)><script>document.title='taken'</script>",
        "\u001b]8;;javascript:alert(1)\u0007click\u001b]8;;\u0007 here",
        "\u001b[1;31mred and bold\u001b[0m then \u001b[38;2;20;200;30mgreenish\u001b[m, \u001b[7mreversed\u001b[27m",
        "\u001b[42mon green\u001b[49m \u001b[2mdim\u001b[22m \u001b[95mpink\u001b[39m \u001b[48;5;196mon red\u001b[0m",
        "if access \u202e// only admin\u202c { }",
        "\u001b[2J\u001b[Hnot cleared\u0008\u0000",
        " 10 %\r 50 %\r100 %",
        long,
        "last",
      ].join("\n"),
    );
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs/${held.id}`);
    const log = logOf(page);
    await log.getByText("<img src=x onerror=alert(1)>").waitFor();
    assert.equal(await log.locator("img, script").count(), 0);
    await log.getByText("click here").waitFor();
    await log.getByText("<U+202E>// only admin<U+202C>").waitFor();
    await log.getByText("not cleared^H^@").waitFor();
    await log.getByText("100 %", { exact: true }).waitFor();
    assert.match((await log.getByText("red and bold").getAttribute("class")) ?? "", /ansi-red/);
    assert.match((await log.getByText("greenish").getAttribute("class")) ?? "", /ansi-green/);
    await isAccessible(page);
    const wide = log.locator("[data-row='7']");
    assert.equal((await wide.boundingBox())?.height, 20);
    await page.getByRole("button", { name: "Wrap long lines" }).click();
    await page.waitForFunction(() => (document.querySelector("[data-row='7']")?.clientHeight ?? 0) > 40);
    await page.keyboard.press("/");
    await page.keyboard.type("wide");
    await page.keyboard.press("Enter");
    await log.locator("mark").first().waitFor();
    await isAccessible(page);
  });
});
