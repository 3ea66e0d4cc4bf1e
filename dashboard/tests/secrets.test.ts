// Secrets go in and never come out: not into the page, not into an answer, not into git.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

const FIRST = "canary-of-the-first-value\nwith a second line";
const SECOND = "canary-of-the-second-value";
const API_KEY = "sk-canary-of-the-model";
const CANARY = /canary-of-the/;

/** Every byte that the daemon answers to a page, as text. */
function answersTo(page: Page): string[] {
  const answers: string[] = [];
  page.on("response", (response) => {
    if (response.url().endsWith("/events")) return;
    response.text().then(
      (text) => answers.push(text),
      () => {},
    );
  });
  return answers;
}

/** All that a clone of the project's state has, in each commit. */
function everythingInGit(url: string, project: string, key: string): string {
  const folder = mkdtempSync(join(tmpdir(), "mrx-ui-clone-"));
  try {
    const helper = "!f() { echo username=me; echo password=$MRX_UI_KEY; }; f";
    const git = (...args: string[]) =>
      execFileSync("git", ["-c", `credential.helper=${helper}`, ...args], {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, MRX_UI_KEY: key, GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_GLOBAL: "/dev/null" },
      });
    git("clone", "-q", "--branch", "state", `${url}/git/${project}.git`, "state");
    return git("-C", "state", "log", "-p", "--format=%an %s %b", "state");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a secret is stored, rotated and deleted, and its value appears nowhere", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    const answers = answersTo(page);
    await page.goto(`${w.url}/ui/projects/mrx-hello/secrets`);
    await page.getByRole("heading", { name: "No secrets yet" }).waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "Add a secret" }).click();
    await page.getByLabel("Name").fill("signing-key");
    await page.getByLabel("Value").fill(FIRST);
    const dots = await page
      .getByLabel("Value")
      .evaluate((area) => getComputedStyle(area).getPropertyValue("-webkit-text-security"));
    assert.equal(dots, "disc", "what is typed shows as dots");
    await isAccessible(page);
    await page.getByRole("button", { name: "Store it" }).click();
    const row = page.getByRole("list", { name: "Secrets" }).getByRole("listitem");
    await row.getByText("signing-key").waitFor();
    await row.getByText("can be decrypted by the daemon").waitFor();

    await row.getByRole("button", { name: "Rotate signing-key" }).click();
    assert.equal(await page.getByLabel("New value").inputValue(), "", "the old value is not there");
    await page.getByLabel("New value").fill("short");
    await page.getByRole("button", { name: "Rotate it" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("New value").fill(SECOND);
    await page.getByRole("button", { name: "Rotate it" }).click();
    await page.getByText("signing-key has its new value.").waitFor();
    await row.getByText("rotated").waitFor();

    await page.getByRole("button", { name: "Add a secret" }).click();
    await page.getByLabel("Kind").selectOption("llm");
    await page.getByLabel("Address of the model's server").fill("http://127.0.0.1:4000/v1");
    await page.getByLabel("Model", { exact: true }).fill("tiny");
    await page.getByLabel("Its API key").fill(API_KEY);
    await isAccessible(page);
    await page.getByRole("button", { name: "Store it" }).click();
    await page.getByText("model of chats").waitFor();
    await isAccessible(page);
    await page.reload();
    await page.getByText("model of chats").waitFor();
    await row.getByText("can be decrypted by the daemon").first().waitFor();
    await picture(page, "secrets");

    assert.doesNotMatch(await page.content(), CANARY);
    assert.ok(answers.some((answer) => answer.includes('"signing-key"')));
    for (const answer of answers) assert.doesNotMatch(answer, CANARY);
    const { key } = (await w.api("POST", "/admin/agents", { agentId: "reader" })) as { key: string };
    const state = everythingInGit(w.url, "mrx-hello", key);
    assert.match(state, /BEGIN AGE ENCRYPTED FILE/);
    assert.doesNotMatch(state, CANARY);

    await page.getByRole("button", { name: "Delete signing-key" }).click();
    await page.getByRole("button", { name: "Delete it" }).click();
    await page.getByRole("button", { name: "Delete signing-key" }).waitFor({ state: "detached" });
  } finally {
    await w.end();
  }
});

test("an admin stores a default of all projects, and says who else can decrypt", async () => {
  const w = await world();
  try {
    await w.api("POST", "/admin/secrets", { name: "shared-key", value: "canary-of-the-platform" });
    const page = await w.signedIn("anna");
    const answers = answersTo(page);
    await page.goto(`${w.url}/ui/secrets`);
    await page.getByText("shared-key").waitFor();
    await page.getByText("The daemon alone.").waitFor();
    await page.getByLabel("Name", { exact: true }).fill("anna");
    await page.getByLabel("Public key").fill("not a key");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("alert").waitFor();
    const key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    await page.getByLabel("Public key").fill(key);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText("can be decrypted by the daemon, anna").waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "Remove anna" }).click();
    await page.getByRole("button", { name: "Take it off" }).click();
    await page.getByText("The daemon alone.").waitFor();
    for (const answer of answers) assert.doesNotMatch(answer, CANARY);
  } finally {
    await w.end();
  }
});
