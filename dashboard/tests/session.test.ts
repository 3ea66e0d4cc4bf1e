// From a fresh daemon to the first project, and out again.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, PASSWORD, picture, world } from "./world.ts";

after(closeBrowser);

test("the printed link makes the first admin, who is signed in and makes a project", async () => {
  const w = await world({ isFresh: true });
  try {
    const page = await w.page();
    assert.ok(w.setupLink, "the daemon prints a link");
    await page.goto(w.setupLink);
    await page.getByRole("heading", { name: "Make the first admin" }).waitFor();
    assert.equal(new URL(page.url()).hash, "", "the token leaves the address bar");
    await isAccessible(page);
    await picture(page, "setup");
    await page.getByLabel("Name").fill("anna");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByLabel("Password again").fill("not the same one");
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByRole("alert").getByText("not the same").waitFor();
    await page.getByLabel("Password again").fill(PASSWORD);
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByRole("heading", { name: "No projects yet" }).waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "New project" }).click();
    await page.getByLabel("Name").fill("mrx-hello");
    await page.getByLabel("What it is about").fill("A first project");
    await isAccessible(page);
    await page.getByRole("button", { name: "Make the project" }).click();
    await page.getByRole("heading", { name: "mrx-hello", level: 1 }).waitFor();
    await page.getByText("A first project").waitFor();
  } finally {
    await w.end();
  }
});

test("a person signs in, is refused a wrong password, and signs out of every tab", async () => {
  const w = await world();
  try {
    const page = await w.page();
    await page.goto(`${w.url}/`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await isAccessible(page);
    await page.getByLabel("Name").fill("anna");
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Projects", exact: true }).waitFor();
    assert.equal(await page.evaluate(() => document.cookie), "", "no script can read the session");
    const other = await page.context().newPage();
    await other.goto(`${w.url}/ui/projects`);
    await other.locator("[data-live=live]").waitFor();
    await page.getByRole("button", { name: "Account anna" }).click();
    await isAccessible(page);
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await other.getByRole("heading", { name: "Sign in" }).waitFor();
  } finally {
    await w.end();
  }
});

test("a deep link leads through the sign-in to its page", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.page();
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs?state=failed`);
    await page.getByLabel("Name").fill("anna");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "No job is like that" }).waitFor();
    assert.equal(new URL(page.url()).search, "?state=failed");
    assert.equal(await page.getByLabel("State", { exact: true }).inputValue(), "failed");
    await page.goto(`${w.url}/ui/nowhere`);
    await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  } finally {
    await w.end();
  }
});
