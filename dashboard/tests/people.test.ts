// People: invited, given roles, disabled; and their API keys.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, PASSWORD, picture, world } from "./world.ts";

after(closeBrowser);

test("an invitation's link makes an account, once, in the role that it says", async () => {
  const w = await world({ args: ["--registration", "invite"] });
  try {
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/people`);
    await page.getByText("No invitation is open.").waitFor();
    await page.getByRole("button", { name: "Invite" }).click();
    await page.getByRole("dialog").getByLabel("Role").selectOption("developer");
    await isAccessible(page);
    await page.getByRole("button", { name: "Make the link" }).click();
    const link = (await page.getByRole("dialog").locator("code").textContent()) ?? "";
    assert.match(link, /\/ui\/register#mrx_invite_/);
    await isAccessible(page);
    await page.getByRole("button", { name: "I have it" }).click();
    await page.getByRole("list", { name: "Invitations" }).getByText("developer", { exact: true }).waitFor();

    const guest = await w.page();
    await guest.goto(link);
    await guest.getByRole("heading", { name: "Make an account" }).waitFor();
    assert.equal(new URL(guest.url()).hash, "", "the token leaves the address bar");
    await guest.getByLabel("Name").fill("ben");
    await guest.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await guest.getByLabel("Password again").fill(PASSWORD);
    await guest.getByRole("button", { name: "Make the account" }).click();
    await guest.getByRole("heading", { name: "No projects yet" }).waitFor();
    assert.ok(await guest.getByRole("button", { name: "New project" }).isEnabled(), "ben is a developer");
    assert.equal(await guest.getByRole("link", { name: "People" }).count(), 0, "ben is no admin");

    await page.getByText("No invitation is open.").waitFor();
    await page.getByRole("list", { name: "Accounts" }).getByText("ben", { exact: true }).waitFor();
    await isAccessible(page);
    await picture(page, "people");

    const other = await w.page();
    await other.goto(link);
    await other.getByRole("heading", { name: "Make an account" }).waitFor();
    await other.getByLabel("Name").fill("carl");
    await other.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await other.getByLabel("Password again").fill(PASSWORD);
    await other.getByRole("button", { name: "Make the account" }).click();
    await other.getByRole("alert").waitFor();
  } finally {
    await w.end();
  }
});

test("where everybody may register, the sign-in leads to it, and makes a viewer", async () => {
  const w = await world({ args: ["--registration", "open"] });
  try {
    const page = await w.page();
    await page.goto(`${w.url}/ui/`);
    await page.getByRole("link", { name: "Make one" }).click();
    await page.getByRole("heading", { name: "Make an account" }).waitFor();
    await page.getByLabel("Name").fill("vera");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await page.getByLabel("Password again").fill(PASSWORD);
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByRole("heading", { name: "No projects yet" }).waitFor();
    assert.ok(await page.getByRole("button", { name: "New project" }).isDisabled());
  } finally {
    await w.end();
  }
});

test("an account that an admin makes gets a password once, a role, and loses its session when disabled", async () => {
  const w = await world();
  try {
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/people`);
    await page.getByText("mrx serve --registration invite").waitFor();
    await page.getByRole("button", { name: "Add a person" }).click();
    await page.getByLabel("Name").fill("ben");
    await isAccessible(page);
    await page.getByRole("button", { name: "Make the account" }).click();
    await page.getByText("This is the password of ben.").waitFor();
    const password = (await page.getByRole("dialog").locator("code").textContent()) ?? "";
    await page.getByRole("button", { name: "I have it" }).click();

    const ben = await w.page();
    await ben.goto(`${w.url}/ui/sign-in`);
    await ben.getByLabel("Name").fill("ben");
    await ben.getByLabel("Password").fill(password);
    await ben.getByRole("button", { name: "Sign in" }).click();
    await ben.getByRole("heading", { name: "No projects yet" }).waitFor();
    assert.ok(await ben.getByRole("button", { name: "New project" }).isEnabled());
    await ben.locator("[data-live=live]").waitFor();

    await page.getByLabel("Role of ben").selectOption("viewer");
    await ben.getByRole("button", { name: "New project", disabled: true }).waitFor();
    await page.getByRole("button", { name: "Disable ben" }).click();
    await page.getByText("disabled", { exact: true }).waitFor();
    await ben.getByRole("heading", { name: "Sign in" }).waitFor();

    await page.getByRole("button", { name: "Enable ben" }).click();
    await page.getByRole("button", { name: "Reset password of ben" }).click();
    await page.getByRole("button", { name: "Reset it" }).click();
    await page.getByText("This is the password of ben.").waitFor();
    const next = (await page.getByRole("dialog").locator("code").textContent()) ?? "";
    assert.notEqual(next, password);
    await ben.getByLabel("Name").fill("ben");
    await ben.getByLabel("Password").fill(next);
    await ben.getByRole("button", { name: "Sign in" }).click();
    await ben.getByRole("heading", { name: "No projects yet" }).waitFor();
  } finally {
    await w.end();
  }
});

test("an API key is shown once, works, and is refused as soon as it is revoked", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/keys`);
    await page.getByRole("heading", { name: "No keys yet" }).waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByLabel("Name").fill("Nightly report");
    await isAccessible(page);
    await page.getByRole("button", { name: "Make the key" }).click();
    await page.getByText("This is the key Nightly report.").waitFor();
    const key = (await page.getByRole("dialog").locator("code").textContent()) ?? "";
    assert.match(key, /^mrx_live_/);
    const call = (method: string, path: string, body?: object) =>
      fetch(`${w.url}${path}`, {
        method,
        headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
        ...(body && { body: JSON.stringify(body) }),
      });
    assert.equal((await call("GET", "/projects/mrx-hello")).status, 200);
    assert.equal((await call("PATCH", "/projects/mrx-hello", { title: "No" })).status, 403, "it may read");
    await page.getByRole("button", { name: "I have it" }).click();
    const row = page.getByRole("list", { name: "API keys" }).getByRole("listitem");
    await row.getByText("ends").waitFor();
    assert.ok(!(await page.content()).includes(key), "it is not shown again");
    await isAccessible(page);
    await picture(page, "keys");
    await row.getByRole("button", { name: "Revoke Nightly report" }).click();
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByRole("heading", { name: "No keys yet" }).waitFor();
    assert.equal((await call("GET", "/projects/mrx-hello")).status, 401);
  } finally {
    await w.end();
  }
});

test("one changes one's own password and stays signed in", async () => {
  const w = await world();
  try {
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/keys`);
    await page.getByLabel("Present password").fill("not the password");
    await page.getByLabel("New password").fill("a different battery");
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Present password").fill(PASSWORD);
    await page.getByRole("button", { name: "Change the password" }).click();
    await page.getByText("Your password is changed").waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "API keys", level: 1 }).waitFor();
  } finally {
    await w.end();
  }
});
