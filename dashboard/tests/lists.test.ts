// What is long or deep: a hundred thousand jobs, and the files of the code.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, test } from "node:test";
import { pushCode } from "./agents.ts";
import { closeBrowser, isAccessible, type World, world } from "./world.ts";

after(closeBrowser);

const JOBS = 100_000;
const DAYS = 50;
/** The page's own thread is never busy for longer at a stretch while the list is scrolled. */
const BUSY_MS_MAX = 200;
const DIGITS = "0123456789abcdefghjkmnpqrstvwxyz";

/** So many ended jobs, written into the project's repository as a person could while the daemon is down. */
function* jobs(model: string): Generator<string> {
  const start = Date.parse("2026-01-01T12:00:00.000Z");
  for (let day = 0; day < DAYS; day += 1) {
    const at = new Date(start + day * 86_400_000).toISOString();
    for (let number = 0; number < JOBS / DAYS; number += 1) {
      let [tail, rest] = ["", day * (JOBS / DAYS) + number];
      for (let digit = 0; digit < 6; digit += 1) {
        tail = DIGITS[rest % 32] + tail;
        rest = Math.floor(rest / 32);
      }
      const id = model.slice(0, -6) + tail;
      const text = [
        `jobId: ${id}`,
        "projectId: mrx-hello",
        "type: build",
        "state: completed",
        "attempt: 1",
        "timeoutSeconds: 3600",
        `createdAt: ${at}`,
        `updatedAt: ${at}`,
        `endedAt: ${at}`,
        "",
      ].join("\n");
      const folders = [...id.slice(-3)].join("/");
      yield `M 100644 inline jobs/done/${at.slice(0, 10)}/${folders}/${id}.yaml\ndata ${text.length}\n${text}\n`;
    }
  }
}

async function seed(w: World): Promise<void> {
  const { jobId } = (await w.api("POST", "/jobs/create", {
    ...{ projectId: "mrx-hello", jobType: "build" },
  })) as { jobId: string };
  await w.api("POST", `/jobs/${jobId}/cancel`);
  await w.stopDaemon();
  const head =
    "commit refs/heads/state\ncommitter Anna <anna@example.org> 1790000000 +0000\ndata 5\nSeeds\nfrom refs/heads/state^0\n";
  execFileSync("git", ["-C", w.repository("mrx-hello"), "fast-import", "--quiet"], {
    input: head + [...jobs(jobId)].join(""),
  });
  await w.startDaemon();
}

test("a hundred thousand jobs scroll smoothly, and the page holds only those in sight", async (t) => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await seed(w);
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs`);
    const list = page.getByLabel("Jobs", { exact: true }).and(page.locator("section"));
    await list.getByRole("listitem").nth(10).waitFor();
    await list.hover();
    await page.evaluate(() => {
      const all = window as unknown as { longest: number };
      all.longest = 0;
      new PerformanceObserver((found) => {
        for (const { duration } of found.getEntries()) all.longest = Math.max(all.longest, duration);
      }).observe({ entryTypes: ["longtask"] });
    });
    const last = () =>
      list.evaluate((box) =>
        Math.max(...[...box.querySelectorAll("li")].map((row) => Number(row.getAttribute("aria-posinset")))),
      );
    // To the end of what is loaded, again and again: the next pages come by themselves.
    for (let turn = 0; turn < 200 && (await last()) < 2500; turn += 1) {
      await list.evaluate((box) => box.scrollTo(0, box.scrollHeight));
      await page.waitForTimeout(50);
    }
    assert.ok((await last()) >= 2500, "pages follow one another");
    for (let wheel = 0; wheel < 30; wheel += 1) await page.mouse.wheel(0, -1500);
    const rows = await list.getByRole("listitem").count();
    assert.ok(rows < 100, `${rows} rows are in the page`);
    const busyMs = await page.evaluate(() => (window as unknown as { longest: number }).longest);
    t.diagnostic(`longest task ${busyMs} ms`);
    assert.ok(busyMs <= BUSY_MS_MAX, `the page was busy for ${busyMs} ms at a stretch`);
    await isAccessible(page);
  } finally {
    await w.end();
  }
});

test("the code's files are shown folder by folder at a ref, and searched", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await pushCode(w, "mrx-hello", {
      "README.md": "# Hello\n",
      "src/main.rs": "fn main() {}\n",
      "src/deep/down/here.py": "print(1)\n",
      "mrx.yaml": "build:\n  steps: []\n",
    });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/files`);
    await page.getByText("4 files", { exact: true }).waitFor();
    await page.getByText("README.md").waitFor();
    await isAccessible(page);
    await page.getByRole("link", { name: "src", exact: true }).click();
    await page.getByText("main.rs").waitFor();
    assert.equal(new URL(page.url()).search, "?path=src");
    await page.keyboard.press("/");
    await page.keyboard.type("here");
    await page.getByText("src/deep/down/here.py").waitFor();
    await page.getByLabel("Branch, tag or commit").fill("nowhere");
    await page.getByLabel("Branch, tag or commit").press("Enter");
    await page.getByRole("alert").getByText("refUnknown").waitFor();
  } finally {
    await w.end();
  }
});
