// Agents: added with a key that is shown once, seen as they come, and kept from work.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

const MRX = process.env.MRX_BINARY ?? resolve(import.meta.dirname, "../../target/debug/mrx");

test("an agent is added, and comes online with the command and key that were shown", async () => {
  const w = await world();
  const home = mkdtempSync(join(tmpdir(), "mrx-ui-agent-"));
  let agent: ChildProcess | null = null;
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("link", { name: "Agents", exact: true }).click();
    await page.getByRole("heading", { name: "No agents yet" }).waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "Add an agent" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("builder-1");
    await dialog.getByLabel("Labels").fill("linux, gpu");
    await dialog.getByLabel("Projects").fill("mrx-hello");
    await isAccessible(page);
    await dialog.getByRole("button", { name: "Add it and make its key" }).click();
    await dialog.getByRole("heading", { name: "builder-1 is added" }).waitFor();
    await isAccessible(page);
    const copied = async (index: number) => {
      await dialog.getByRole("button", { name: "Copy the command" }).nth(index).click();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    const key = await copied(0);
    const [program, ...words] = (await copied(2)).split(/[\s\\]+/);
    assert.equal(program, "mrx");
    await dialog.getByRole("button", { name: "I have kept the key" }).click();
    const card = page.getByRole("listitem", { name: "builder-1" });
    await card.getByText("not heard of since the daemon started").waitFor();
    writeFileSync(join(home, "builder-1.key"), `${key}\n`, { mode: 0o600 });
    agent = spawn(MRX, [...words, "--sandbox", "off"], { cwd: home, stdio: "ignore" });
    await card.getByText("online").waitFor();
    await card.getByText("gpu", { exact: true }).waitFor();
    await isAccessible(page);
    await picture(page, "agents");
    await card.getByRole("button", { name: /Drain/ }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Drain it" }).click();
    await card.getByText("drained").waitFor();
    await card.getByRole("link", { name: "mrx-hello" }).waitFor();
    await card.getByRole("button", { name: "Give it jobs again" }).click();
    await card.getByText("drained").waitFor({ state: "detached" });
    await card.getByRole("button", { name: "Disable it" }).click();
    await isAccessible(page);
    await page.getByRole("dialog").getByRole("button", { name: "Disable it" }).click();
    await card.getByText("disabled").waitFor();
    await card.getByRole("button", { name: "Enable" }).click();
    await card.getByRole("button", { name: "Disable it" }).waitFor();
    await card.getByRole("button", { name: "Give it another key" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Make a new key" }).click();
    await page.getByRole("heading", { name: "A new key for builder-1" }).waitFor();
    assert.notEqual(await copied(0), key);
  } finally {
    if (agent) {
      const ended = new Promise((done) => agent?.once("exit", done));
      agent.kill("SIGTERM");
      await ended;
    }
    await w.end();
    rmSync(home, { recursive: true, force: true });
  }
});

test("a notebook is paired with a one-time code, which claims once", async () => {
  const w = await world();
  try {
    const page = await w.signedIn("anna");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.goto(`${w.url}/ui/agents`);
    await page.getByRole("button", { name: "Add an agent" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("What kind of agent").selectOption("notebook");
    await dialog.getByLabel("Name").fill("colab-1");
    await dialog.getByRole("button", { name: "Make a code" }).click();
    await dialog.getByText("terms of free Google Colab").waitFor();
    await dialog.getByText("import mrx_agent").waitFor();
    await isAccessible(page);
    await picture(page, "notebook");
    await dialog.getByRole("button", { name: "Copy the command" }).click();
    const claimSecret = await page.evaluate(() => navigator.clipboard.readText());
    const claim = () =>
      fetch(`${w.url}/jobs/claim`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ colabId: "colab-1", claimSecret }),
      });
    assert.equal((await claim()).status, 200);
    assert.equal((await claim()).status, 403, "the code is spent");
    await dialog.getByRole("button", { name: "Done" }).click();
    await page.getByRole("listitem", { name: "colab-1" }).getByText("online").waitFor();
  } finally {
    await w.end();
  }
});

test("who is no admin neither sees the agents nor how the daemon is", async () => {
  const w = await world();
  try {
    w.addUser("dora", "developer");
    const page = await w.signedIn("dora");
    assert.equal(await page.getByRole("link", { name: "Agents", exact: true }).count(), 0);
    for (const place of ["agents", "health"]) {
      await page.goto(`${w.url}/ui/${place}`);
      await page.getByRole("alert").getByText("forbidden").first().waitFor();
    }
  } finally {
    await w.end();
  }
});
