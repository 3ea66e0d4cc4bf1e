// Jobs from the dialog that makes them to the artifact that they leave, with the real agent at work.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { claim, pushCode, realAgent } from "./agents.ts";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

const [GREEN, RED, BLUE, PLAIN] = ["\u001b[1;32m", "\u001b[1;31m", "\u001b[1;34m", "\u001b[0m"];

/** As a compiler and its tests write it. */
function failedLog(): string {
  const crates = ["libc", "memchr", "serde", "regex", "tokio", "hyper", "tower", "axum"];
  const compiled = Array.from({ length: 4600 }, (_, at) => {
    const name = crates[at % crates.length] ?? "";
    return `${GREEN}   Compiling${PLAIN} ${name}-part v0.${at % 40}.${at % 7}`;
  });
  const tests = Array.from(
    { length: 411 },
    (_, at) => `test forecast::day_${at + 1} ... \u001b[32mok${PLAIN}`,
  );
  return [
    ...compiled,
    `${GREEN}    Finished${PLAIN} test profile in 41.80s`,
    ...tests,
    `test forecast::leap_day ... \u001b[31mFAILED${PLAIN}`,
    "",
    "failures:",
    "",
    "---- forecast::leap_day stdout ----",
    `${RED}error${PLAIN}: assertion \`left == right\` failed: 2024-02-29 has a forecast`,
    `  left: ${RED}None${PLAIN}`,
    ` right: ${GREEN}Some(12.5)${PLAIN}`,
    `   ${BLUE}-->${PLAIN} src/forecast.rs:118:9`,
    "",
    `test result: \u001b[31mFAILED${PLAIN}. 411 passed; 1 failed`,
    "",
  ].join("\n");
}

const RECIPE = `build:
  steps:
    - name: compile
      run: [sh, -c, "for part in 1 2 3 4 5 6; do printf '\\\\033[32mcompiled part %s of 6\\\\033[0m\\\\n' $part; sleep 0.4; done; mkdir -p dist; echo made > dist/app.txt; seq 9999 > dist/numbers.csv; seq 500 > dist/report.html"]
  artifacts:
    - dist/*
`;

test("a build is queued in a dialog, watched live, and what it made is downloaded whole", async () => {
  const w = await world();
  const stops: (() => Promise<void>)[] = [];
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await pushCode(w, "mrx-hello", { "mrx.yaml": RECIPE });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs`);
    await page.getByRole("button", { name: "New job" }).click();
    await isAccessible(page);
    await page.getByLabel("Branch, tag or commit").fill("main");
    await page.getByRole("button", { name: "Queue the job" }).click();
    await page.getByRole("heading", { name: "The log begins when an agent has taken the job" }).waitFor();
    await isAccessible(page);
    stops.push((await realAgent(w, "builder-1")).stop);
    const log = page.getByLabel("Log", { exact: true });
    await log.getByText("compiled part 1 of 6").waitFor();
    assert.equal(
      await log.getByText("compiled part 6 of 6").count(),
      0,
      "the first line is there before the last is written",
    );
    await page.getByText("running", { exact: true }).waitFor();
    assert.match((await log.getByText("compiled part 1 of 6").getAttribute("class")) ?? "", /ansi-green/);
    await log.getByText("compiled part 4 of 6").waitFor();
    await picture(page, "job");
    await log.getByText("compiled part 6 of 6").waitFor();
    await page.getByText("completed", { exact: true }).waitFor();
    await page.getByRole("heading", { name: "Timeline" }).waitFor();
    await page
      .getByText("completed by builder-1")
      .or(page.getByText(/completed/).nth(1))
      .first()
      .waitFor();
    await isAccessible(page);
    await picture(page, "job");
    const downloading = page.waitForEvent("download");
    await page.getByRole("link", { name: "app.txt" }).click();
    const bytes = readFileSync(await (await downloading).path());
    const sum = createHash("sha256").update(bytes).digest("hex");
    assert.equal(bytes.toString(), "made\n");
    await page.getByRole("link", { name: "Artifacts", exact: true }).click();
    await page.getByText(sum.slice(0, 12)).waitFor();
    await isAccessible(page);
    await picture(page, "artifacts");
    await page.getByRole("button", { name: "Retention" }).click();
    await page.getByLabel("Of the last builds").fill("10");
    await isAccessible(page);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Kept: the last 10 builds'").waitFor();
    await page.getByRole("button", { name: "Delete app.txt" }).click();
    await page.getByRole("button", { name: "Delete it" }).click();
    await page.getByText("app.txt is deleted.").waitFor();
    await page.getByRole("link", { name: "Download app.txt" }).waitFor({ state: "detached" });
  } finally {
    for (const stop of stops) await stop();
    await w.end();
  }
});

test("a running build is cancelled, retried and built anew, and the log of the attempt before stays", async () => {
  const w = await world();
  const stops: (() => Promise<void>)[] = [];
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const slow =
      'build:\n  steps:\n    - name: wait\n      run: [sh, -c, "echo waits for ever; sleep 300"]\n';
    await pushCode(w, "mrx-hello", { "mrx.yaml": slow });
    stops.push((await realAgent(w, "builder-1")).stop);
    const { jobId } = (await w.api("POST", "/jobs/create", {
      ...{ projectId: "mrx-hello", jobType: "build", payload: { ref: "main" } },
    })) as { jobId: string };
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs/${jobId}`);
    const log = page.getByLabel("Log", { exact: true });
    await log.getByText("waits for ever").first().waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Stopping…" }).waitFor();
    await page.getByText("cancelled", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByLabel("Attempt").waitFor();
    await page.getByLabel("Attempt").selectOption("1");
    await log.getByText("waits for ever").first().waitFor();
    assert.equal(new URL(page.url()).search, "?attempt=1");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Rebuild" }).click();
    await page.waitForURL((url) => !url.pathname.endsWith(jobId));
    await page.getByText("A new build is queued.").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
  } finally {
    for (const stop of stops) await stop();
    await w.end();
  }
});

test("the last line of a failed build's log is in sight two clicks from the start", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
    const held = await claim(w, "builder-1");
    await held.write(failedLog());
    await held.tell({
      state: "failed",
      failure: { code: "stepFailed", message: "step test exited with 101" },
    });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/`);
    let clicks = 0;
    const click = async (name: RegExp) => {
      await page.getByRole("link", { name }).first().click();
      clicks += 1;
    };
    await click(/mrx-hello/);
    await click(/failed.*build/);
    const last = page
      .getByLabel("Log", { exact: true })
      .getByText("test result: FAILED. 411 passed; 1 failed");
    await last.waitFor();
    await page.waitForFunction(() => {
      const row = [...document.querySelectorAll("[data-row]")].find((one) =>
        one.textContent?.includes("411 passed; 1 failed"),
      );
      const { top, bottom } = row?.getBoundingClientRect() ?? { top: 0, bottom: 0 };
      return top > 0 && bottom <= innerHeight + 0.5;
    });
    assert.ok(clicks <= 3);
    await page.getByText("step test exited with 101").waitFor();
    await isAccessible(page);
    await picture(page, "failed-build");
  } finally {
    await w.end();
  }
});

test("a job is shown as it was at an earlier commit, and nothing can be done to it then", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const { jobId } = (await w.api("POST", "/jobs/create?ack=published", {
      ...{ projectId: "mrx-hello", jobType: "build" },
    })) as { jobId: string };
    const { commits } = (await w.api("GET", `/projects/mrx-hello/history?about=${jobId}`)) as {
      commits: { commit: string }[];
    };
    await w.api("POST", `/jobs/${jobId}/cancel`);
    const page = await w.signedIn("anna");
    const path = `${w.url}/ui/projects/mrx-hello/jobs/${jobId}`;
    await page.goto(`${path}?at=${commits[0]?.commit}`);
    await page.getByText("pending", { exact: true }).waitFor();
    assert.ok(await page.getByRole("button", { name: "Cancel" }).isDisabled());
    await page.getByRole("button", { name: "Return to now" }).click();
    await page.getByText("cancelled", { exact: true }).waitFor();
    assert.ok(await page.getByRole("button", { name: "Retry" }).isEnabled());
  } finally {
    await w.end();
  }
});

test("a viewer reads a job and its log, and can change nothing", async () => {
  const w = await world();
  try {
    w.addUser("vera", "viewer");
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("PUT", "/projects/mrx-hello/members/vera", { right: "read" });
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
    const held = await claim(w, "builder-1");
    await held.write("said to all\n");
    const page = await w.signedIn("vera", { theme: "dark", width: 390, height: 844 });
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs/${held.id}`);
    await page.getByLabel("Log", { exact: true }).getByText("said to all").waitFor();
    assert.ok(await page.getByRole("button", { name: "Cancel" }).isDisabled());
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await isAccessible(page);
    await picture(page, "job-phone");
    await page.goto(`${w.url}/ui/projects/mrx-hello/artifacts`);
    assert.ok(await page.getByRole("button", { name: "Retention" }).isDisabled());
    await isAccessible(page);
  } finally {
    await w.end();
  }
});
