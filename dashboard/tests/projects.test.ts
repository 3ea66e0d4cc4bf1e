// Projects and their jobs, which change on the screen as they change at the daemon.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

test("projects are searched, and a new job shows without anybody asking", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("POST", "/projects", { name: "mrx-weather" });
    await w.api("PATCH", "/projects/mrx-weather", { description: "Forecasts" });
    const page = await w.signedIn("anna");
    await page.getByText("Forecasts").waitFor();
    await page.locator("[data-live=live]").waitFor();
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
    await page.getByRole("link", { name: /mrx-hello.*pending/ }).waitFor();
    await isAccessible(page);
    await picture(page, "projects");
    await page.keyboard.press("/");
    await page.keyboard.type("forecasts");
    await page.getByRole("link", { name: /mrx-hello/ }).waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).search, "?q=forecasts");
    await page.getByRole("link", { name: /mrx-weather/ }).click();
    await page.getByRole("heading", { name: "Activity" }).waitFor();
    await page.getByRole("heading", { name: "No jobs yet" }).waitFor();
    await w.api("POST", "/jobs/create", { projectId: "mrx-weather", jobType: "build", labels: ["gpu"] });
    await page.getByText("gpu").waitFor();
    await isAccessible(page);
    await picture(page, "project");
  } finally {
    await w.end();
  }
});

test("jobs are filtered in the address, and the page goes on after the daemon was away", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build", labels: ["gpu"] });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs`);
    await page.getByText("gpu").waitFor();
    await page.locator("[data-live=live]").waitFor();
    await page.getByLabel("State", { exact: true }).selectOption("failed");
    await page.getByRole("heading", { name: "No job is like that" }).waitFor();
    assert.equal(new URL(page.url()).search, "?state=failed");
    await page.goBack();
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs?label=gpu`);
    await page.getByText("gpu").waitFor();
    await isAccessible(page);
    await picture(page, "jobs");
    await w.stopDaemon();
    await page.getByText("Reconnecting…").waitFor();
    await w.startDaemon();
    await page.locator("[data-live=live]").waitFor();
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "chat", labels: ["gpu"] });
    await page.getByText("chat", { exact: true }).locator("visible=true").last().waitFor();
    await page.getByRole("listitem").nth(2).waitFor();
  } finally {
    await w.end();
  }
});

test("a viewer sees only what it may read, and makes no projects", async () => {
  const w = await world();
  try {
    w.addUser("vera", "viewer");
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("POST", "/projects", { name: "mrx-hidden" });
    await w.api("PUT", "/projects/mrx-hello/members/vera", { right: "read" });
    const page = await w.signedIn("vera");
    await page.getByRole("link", { name: /mrx-hello/ }).waitFor();
    assert.equal(await page.getByRole("link", { name: /mrx-hidden/ }).count(), 0);
    assert.ok(await page.getByRole("button", { name: "New project" }).isDisabled());
    await page.goto(`${w.url}/ui/projects/mrx-hidden`);
    const refusal = page.getByRole("alert").first();
    await refusal.getByText("projectUnknown").waitFor();
    await refusal.getByRole("button", { name: "Copy the request's id" }).waitFor();
  } finally {
    await w.end();
  }
});
