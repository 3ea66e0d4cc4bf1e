// The dashboard by keyboard, on a phone, and in the dark.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

test("keys search, help and lead from place to place", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.getByRole("link", { name: /mrx-hello/ }).click();
    await page.getByRole("heading", { name: "Activity" }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("Go to Jobs").waitFor();
    await isAccessible(page);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.keyboard.press("g");
    await page.keyboard.press("j");
    await page.getByRole("heading", { name: "Jobs mrx-hello" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("p");
    await page.getByRole("heading", { name: "Projects", exact: true }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("g j");
    assert.equal(
      await page.getByLabel("Search projects").inputValue(),
      "g j",
      "what is typed into a field is text",
    );
  } finally {
    await w.end();
  }
});

test("on a phone in the dark nothing is wider than the screen, and the menu leads on", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello", description: "A first project" });
    const page = await w.signedIn("anna", { theme: "dark", width: 390, height: 760 });
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    await page.getByRole("link", { name: /mrx-hello/ }).click();
    await page.getByRole("heading", { name: "Activity" }).waitFor();
    await picture(page, "phone");
    await page.getByRole("button", { name: "Menu", exact: true }).click();
    await page.getByRole("link", { name: "Jobs", exact: true }).click();
    await page.getByRole("heading", { name: "No jobs yet" }).waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await isAccessible(page);
  } finally {
    await w.end();
  }
});

test("an earlier commit is in the address of every call, and nothing can be changed then", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.getByRole("link", { name: /mrx-hello/ }).waitFor();
    await page.getByRole("button", { name: "As of now" }).click();
    const commit = "0".repeat(40);
    await page.getByLabel("Commit of the project's state").fill(commit);
    const call = page.waitForRequest((request) => request.url().includes("/projects/mrx-hello/jobs"));
    await page.getByRole("button", { name: "Show it" }).click();
    assert.equal(new URL((await call).url()).searchParams.get("at"), commit);
    await page.getByText("The state as of commit 000000000000").waitFor();
    assert.ok(await page.getByRole("button", { name: "New project" }).isDisabled());
    await page.getByRole("link", { name: /mrx-hello/ }).click();
    assert.equal(new URL(page.url()).searchParams.get("at"), commit, "it stays from page to page");
    await page.getByRole("button", { name: "Return to now" }).click();
    await page.getByRole("heading", { name: "Activity" }).waitFor();
    assert.equal(new URL(page.url()).search, "");
  } finally {
    await w.end();
  }
});
