// How the daemon is, and how a project's builds went.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

interface Claimed {
  job: { jobId: string };
  lease: { id: string };
}

test("health shows the queue, claims, memory, disk and packs as the daemon tells them", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    for (let n = 0; n < 3; n += 1)
      await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
    const { key } = (await w.api("POST", "/admin/agents", { agentId: "builder-1" })) as { key: string };
    await asAgent(w.url, key, "POST", "/jobs/claim", {});
    const page = await w.signedIn("anna");
    await page.getByRole("link", { name: "Health", exact: true }).click();
    const figure = (name: string) => page.locator("dl > div").filter({ hasText: name });
    await figure("Queue").getByText("2", { exact: true }).waitFor();
    await figure("Queue").getByText("1 held").waitFor();
    await figure("Claim, 99 of 100")
      .getByText(/^[\d.]+ m?s$/)
      .waitFor();
    await figure("Memory").getByText(/MiB$/).waitFor();
    await figure("Disk free").getByText(/%/).waitFor();
    await page.getByRole("img", { name: /Jobs: waiting 2, held 1/ }).waitFor();
    assert.ok(await page.locator("canvas").first().isVisible());
    const row = page.getByRole("row").filter({ hasText: "mrx-hello" });
    await row.getByText("in memory").waitFor();
    // It goes on looking.
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
    await figure("Queue").getByText("3", { exact: true }).waitFor();
    await isAccessible(page);
    await picture(page, "health");
  } finally {
    await w.end();
  }
});

test("a project's overview draws how its builds went", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const { key } = (await w.api("POST", "/admin/agents", { agentId: "builder-1" })) as { key: string };
    for (const state of ["completed", "failed", "completed"]) {
      await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
      const { job, lease } = (await asAgent(w.url, key, "POST", "/jobs/claim", {})) as Claimed;
      const report = { state, ...(state === "failed" && { failure: { code: "stepFailed", message: "no" } }) };
      await asAgent(w.url, key, "PATCH", `/jobs/${job.jobId}`, { state: "running" }, lease.id);
      await asAgent(w.url, key, "PATCH", `/jobs/${job.jobId}`, report, lease.id);
    }
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello`);
    await page.getByText("67 % of the last 3 completed").waitFor();
    await page.getByRole("img", { name: /Builds a day: completed 2, failed 1/ }).waitFor();
    assert.equal(await page.locator("canvas").count(), 2);
    await isAccessible(page);
    await picture(page, "overview-builds");
  } finally {
    await w.end();
  }
});

async function asAgent(
  url: string,
  key: string,
  method: string,
  path: string,
  body: unknown,
  lease?: string,
) {
  const headers = {
    Authorization: `Bearer ${key}`,
    "Content-Type": "application/json",
    ...(lease && { "Job-Lease": lease }),
  };
  const response = await fetch(`${url}${path}`, { method, headers, body: JSON.stringify(body) });
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
  return response.json();
}
