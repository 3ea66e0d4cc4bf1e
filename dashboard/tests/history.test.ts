// The past: what happened, what differs, every page as it was, and putting things back.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, picture, type World, world } from "./world.ts";

after(closeBrowser);

interface Chat {
  chatId: string;
}

/** A project with a chat whose title was changed, and a job that was cancelled. */
async function lived(w: World): Promise<Chat> {
  await w.api("POST", "/projects", { name: "mrx-hello", description: "A first project" });
  const chat = (await w.api("POST", "/projects/mrx-hello/chats", { title: "The first title" })) as Chat;
  await w.api("PATCH", `/projects/mrx-hello/chats/${chat.chatId}`, { title: "Another title" });
  const job = (await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" })) as {
    jobId: string;
  };
  await w.api("POST", `/jobs/${job.jobId}/cancel`);
  return chat;
}

/** The two commits of the chat, once plain git has them. */
async function both(w: World, chatId: string): Promise<{ commit: string }[]> {
  for (;;) {
    const { commits } = (await w.api("GET", `/projects/mrx-hello/history?about=${chatId}`)) as {
      commits: { commit: string }[];
    };
    if (commits.length === 2) return commits;
    await new Promise((done) => setTimeout(done, 50));
  }
}

test("every page shows an earlier commit, changes nothing then, and returns to now", async () => {
  const w = await world();
  try {
    await lived(w);
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/history`);
    const commits = page.getByRole("region", { name: "Commits" });
    await commits.getByRole("link", { name: /cancel/ }).waitFor();
    await isAccessible(page);
    await picture(page, "history");
    // The job was made, and not yet cancelled.
    const made = commits.getByRole("link").filter({ hasText: "job" }).nth(1);
    await made.click();
    await page.getByRole("heading", { name: /^Commit/ }).waitFor();
    await page.getByText("pending", { exact: true }).waitFor();
    const oid = new URL(page.url()).pathname.split("/").at(-1) ?? "";
    await page.getByRole("link", { name: "View the project at this commit" }).click();
    await page.getByRole("heading", { name: "mrx-hello", level: 1 }).waitFor();
    const banner = page.getByRole("status").filter({ hasText: "cannot be changed" });
    await banner.getByText(oid.slice(0, 12)).waitFor();
    await page.getByRole("link", { name: "Jobs", exact: true }).click();
    // The page before lists what happened, and a pending job too.
    await page.getByRole("heading", { name: /^Jobs/, level: 1 }).waitFor();
    await page.getByRole("listitem").getByText("pending").waitFor();
    assert.equal(await page.getByRole("listitem").getByText("cancelled").count(), 0);
    await picture(page, "as-of");
    await isAccessible(page);
    await page.getByRole("link", { name: "Schedules", exact: true }).click();
    await page.getByRole("heading", { name: "No schedules yet" }).waitFor();
    assert.ok(await page.getByRole("button", { name: "New schedule" }).isDisabled());
    await page.getByRole("link", { name: "Jobs", exact: true }).click();
    await page.getByRole("button", { name: "Return to now" }).click();
    await page.getByRole("listitem").getByText("cancelled").waitFor();
    assert.equal(new URL(page.url()).searchParams.get("at"), null);
  } finally {
    await w.end();
  }
});

test("a time is chosen like a commit, and before the project there is nothing", async () => {
  const w = await world();
  try {
    await lived(w);
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/jobs`);
    await page.getByRole("listitem").first().waitFor();
    await page.getByRole("button", { name: "As of now" }).click();
    await isAccessible(page);
    await page.getByRole("button", { name: "Yesterday" }).click();
    await page.getByText("commitUnknown").waitFor();
    await page.getByRole("button", { name: "Return to now" }).click();
    await page.getByRole("button", { name: "As of now" }).click();
    const inAnHour = new Date(Date.now() + 3_600_000 - new Date().getTimezoneOffset() * 60_000);
    await page.getByLabel("Date and time").fill(inAnHour.toISOString().slice(0, 19));
    await page.getByRole("button", { name: "Show it" }).click();
    await page.getByRole("status").filter({ hasText: "cannot be changed" }).waitFor();
    await page.getByRole("listitem").first().waitFor();
    assert.match(new URL(page.url()).searchParams.get("at") ?? "", /^\d{4}-\d\d-\d\dT/);
    const call = page.waitForRequest((request) => new URL(request.url()).pathname === "/projects");
    await page.getByRole("link", { name: "Projects", exact: true }).click();
    assert.ok(new URL((await call).url()).searchParams.has("at"), "the list of projects has a past too");
    await page.getByRole("link", { name: /mrx-hello/ }).waitFor();
  } finally {
    await w.end();
  }
});

test("a chat's title is put back, after a preview of what would change", async () => {
  const w = await world();
  try {
    const { chatId } = await lived(w);
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/history?about=${chatId}`);
    const commits = page.getByRole("region", { name: "Commits" });
    await commits.getByRole("link").nth(1).waitFor();
    assert.equal(await commits.getByRole("link").count(), 2, "the chat was made, and changed");
    await commits.getByRole("link").first().click();
    const change = page.getByRole("region", { name: `chat ${chatId}` });
    await change.getByText("The first title").waitFor();
    await change.getByText("Another title").waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "Put back…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("insertion").filter({ hasText: "The first title" }).waitFor();
    await isAccessible(page);
    await picture(page, "put-back");
    await dialog.getByLabel("As this commit made it").check();
    await dialog.getByText("Nothing: it is so now.").waitFor();
    assert.ok(await dialog.getByRole("button", { name: "Put it back" }).isDisabled());
    await dialog.getByLabel("As it was before this commit").check();
    await dialog.getByRole("button", { name: "Put it back" }).click();
    await page.getByText("The chat is as it was.").waitFor();
    const chat = (await w.api("GET", `/projects/mrx-hello/chats/${chatId}`)) as { title: string };
    assert.equal(chat.title, "The first title");
    await page.goBack();
    await commits.getByRole("link", { name: /put back/ }).waitFor();
  } finally {
    await w.end();
  }
});

test("two moments are compared field by field, and a viewer puts nothing back", async () => {
  const w = await world();
  try {
    w.addUser("vera", "viewer");
    const { chatId } = await lived(w);
    await w.api("PUT", "/projects/mrx-hello/members/vera", { right: "read" });
    const commits = await both(w, chatId);
    const first = commits.at(-1)?.commit ?? "";
    const page = await w.signedIn("vera");
    await page.goto(`${w.url}/ui/projects/mrx-hello/compare`);
    await page.getByRole("heading", { name: "Choose two moments" }).waitFor();
    await page.getByLabel("From").fill(first);
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByText("2 things differ").waitFor();
    const chat = page.getByRole("region", { name: `chat ${chatId}` });
    await chat.getByRole("deletion").filter({ hasText: "The first title" }).waitFor();
    await isAccessible(page);
    await page.goto(`${w.url}/ui/projects/mrx-hello/history/${commits[0]?.commit}`);
    await page.getByText("Another title").waitFor();
    assert.ok(await page.getByRole("button", { name: "Put back…" }).isDisabled());
  } finally {
    await w.end();
  }
});

test("a project is forked from a commit, and the fork says of what", async () => {
  const w = await world();
  try {
    const { chatId } = await lived(w);
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/history?about=${chatId}`);
    await page.getByRole("region", { name: "Commits" }).getByRole("link").nth(1).click();
    await page.getByRole("button", { name: "Fork…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("mrx-rehearsal");
    await isAccessible(page);
    await dialog.getByRole("button", { name: "Make the fork" }).click();
    await page.getByRole("heading", { name: "mrx-rehearsal", level: 1 }).waitFor();
    await page.getByText("its jobs are not handed out").waitFor();
    await isAccessible(page);
    const chat = (await w.api("GET", `/projects/mrx-rehearsal/chats/${chatId}`)) as { title: string };
    assert.equal(chat.title, "The first title");
  } finally {
    await w.end();
  }
});

test("on a phone in the dark every page fits, and commits are found by who made them", async () => {
  const w = await world();
  try {
    const { chatId } = await lived(w);
    const [changed] = await both(w, chatId);
    const page = await w.signedIn("anna", { theme: "dark", width: 390, height: 844 });
    const fits = async (place: string, heading: string) => {
      await page.goto(`${w.url}/ui/${place}`);
      await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
      await page.getByRole("status", { name: "Loading" }).first().waitFor({ state: "detached" });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), place);
      await isAccessible(page);
    };
    const project = "projects/mrx-hello";
    await fits(`${project}/history/${changed?.commit}`, "Commit");
    await fits(`${project}/compare?from=${changed?.commit}`, "Compare");
    await fits(`${project}/schedules`, "Schedules");
    await fits(`${project}/webhooks`, "Webhooks");
    await fits("agents", "Agents");
    await fits("health", "Health");
    await fits(`${project}/history`, "History");
    const commits = page.getByRole("region", { name: "Commits" });
    await page.getByLabel("Who").fill("operator");
    await page.keyboard.press("Enter");
    await page.waitForURL(/actor=operator/);
    await commits
      .getByRole("link", { name: /operator/ })
      .first()
      .waitFor();
    await page.getByLabel("Who").fill("somebody-else");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "No commit is like that" }).waitFor();
  } finally {
    await w.end();
  }
});
