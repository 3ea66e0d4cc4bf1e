// A project's settings, and what somebody who may only read is refused.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

test("what is changed is saved, and nothing else", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello", description: "A first project" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/settings`);
    await page.getByRole("textbox", { name: "Prompt" }).waitFor();
    await picture(page, "settings");
    await page.getByLabel("Title").fill("Hello");
    await page.getByLabel("Jobs at once").fill("3");
    await page.getByLabel("Keep artifacts for … days").fill("30");
    const call = page.waitForRequest((request) => request.method() === "PATCH");
    await page.getByRole("button", { name: "Save the changes" }).click();
    const sent = (await call).postDataJSON();
    assert.deepEqual(sent, { title: "Hello", concurrency: 3, retention: { keepDays: 30 } });
    await page.getByText("The settings are saved.").waitFor();
    await page.getByRole("button", { name: "Save the changes", disabled: true }).waitFor();
    await page.getByRole("textbox", { name: "Prompt" }).fill("Answer briefly.");
    await page.getByRole("button", { name: "Save the prompt" }).click();
    await page.getByText("The prompt is saved.").waitFor();
    const project = (await w.api("GET", "/projects/mrx-hello")) as Record<string, unknown>;
    assert.deepEqual(
      [project.title, project.concurrency, project.retention, project.description],
      ["Hello", 3, { keepDays: 30 }, "A first project"],
    );
    const prompt = (await w.api("GET", "/projects/mrx-hello/prompt")) as { text: string };
    assert.equal(prompt.text, "Answer briefly.");
    await page.getByLabel("Jobs at once").fill("");
    await page.getByRole("button", { name: "Save the changes" }).click();
    await page.getByRole("button", { name: "Save the changes", disabled: true }).waitFor();
    const after = (await w.api("GET", "/projects/mrx-hello")) as Record<string, unknown>;
    assert.equal(after.concurrency ?? null, null);
    await isAccessible(page);
  } finally {
    await w.end();
  }
});

test("a fork that rests is started, and laid to rest again", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("POST", "/projects/mrx-hello/forks", { id: "mrx-rehearsal" });
    const runs = async () =>
      ((await w.api("GET", "/projects/mrx-rehearsal")) as { forkOf: { run?: boolean } }).forkOf.run ?? false;
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-rehearsal/settings`);
    await page.getByText("and rests: its jobs are not handed out").waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "Start it" }).click();
    await page.getByRole("button", { name: "Let it rest" }).waitFor();
    assert.equal(await runs(), true);
    await page.getByRole("button", { name: "Let it rest" }).click();
    await page.getByRole("button", { name: "Start it" }).waitFor();
    assert.equal(await runs(), false);
  } finally {
    await w.end();
  }
});

test("a member gets a right, another one, and none", async () => {
  const w = await world();
  try {
    w.addUser("ben", "developer");
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const members = async () =>
      ((await w.api("GET", "/projects/mrx-hello")) as { members?: object[] }).members ?? [];
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/settings`);
    await page.getByLabel("Add a member").fill("nobody");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Add a member").fill("ben");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByLabel("Right of ben").waitFor();
    assert.deepEqual(await members(), [{ user: "ben", right: "write" }]);
    await page.getByLabel("Right of ben").selectOption("read");
    await page.waitForResponse((response) => response.request().method() === "PUT" && response.ok());
    assert.deepEqual(await members(), [{ user: "ben", right: "read" }]);
    await page.getByRole("button", { name: "Remove ben" }).click();
    await page.getByText("Nobody yet.").waitFor();
    assert.deepEqual(await members(), []);
  } finally {
    await w.end();
  }
});

test("a project goes into the trash when its name is typed, and comes back", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/trash`);
    await page.getByRole("heading", { name: "The trash is empty" }).waitFor();
    await page.goto(`${w.url}/ui/projects/mrx-hello/settings`);
    await page.getByRole("button", { name: "Put into the trash" }).click();
    assert.ok(await page.getByRole("button", { name: "Put it into the trash" }).isDisabled());
    await page.getByLabel(/^Type mrx-hello/).fill("mrx-hello");
    await page.getByRole("button", { name: "Put it into the trash" }).click();
    await page.getByText("In the trash since").waitFor();
    await page.getByRole("link", { name: "Projects", exact: true }).click();
    await page.getByRole("heading", { name: "No projects yet" }).waitFor();
    await page.getByRole("link", { name: "Trash" }).click();
    await page.getByRole("link", { name: "mrx-hello" }).last().waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "Restore" }).click();
    await page.getByRole("heading", { name: "The trash is empty" }).waitFor();
    await page.getByRole("link", { name: "Projects", exact: true }).click();
    await page.getByRole("link", { name: /mrx-hello.*never built/ }).waitFor();
  } finally {
    await w.end();
  }
});

test("a viewer finds every control that writes switched off, and a forged call is refused", async () => {
  const w = await world();
  try {
    w.addUser("vera", "viewer");
    await w.api("POST", "/projects", { name: "mrx-hello" });
    await w.api("PUT", "/projects/mrx-hello/members/vera", { right: "read" });
    const body = { title: "Blue buttons" };
    const { chatId } = (await w.api("POST", "/projects/mrx-hello/chats", body)) as { chatId: string };
    const page = await w.signedIn("vera");
    for (const place of ["People", "Default secrets"]) {
      assert.equal(await page.getByRole("link", { name: place }).count(), 0, place);
    }
    await page.goto(`${w.url}/ui/projects/mrx-hello/settings`);
    await page.getByRole("note").waitFor();
    for (const name of ["Title", "Default branch", "What it is about", "Prompt"]) {
      assert.ok(await page.getByRole("textbox", { name }).isDisabled(), name);
    }
    assert.ok(await page.getByRole("button", { name: "Put into the trash" }).isDisabled());
    assert.equal(await page.getByLabel("Add a member").count(), 0);
    await isAccessible(page);
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats/${chatId}`);
    await page.getByPlaceholder("You may read this project, not write in it").waitFor();
    assert.ok(await page.getByLabel("Write a message").isDisabled());
    for (const name of ["Rename the chat", "Delete the chat", "Send", "Attach files"]) {
      assert.ok(await page.getByRole("button", { name }).isDisabled(), name);
    }
    await picture(page, "viewer");
    await page.goto(`${w.url}/ui/projects/mrx-hello/secrets`);
    await page.getByRole("alert").getByText("forbidden").waitFor();
    await page.goto(`${w.url}/ui/people`);
    await page.getByRole("alert").first().getByText("forbidden").waitFor();

    // As the page would call, were its controls not switched off: with its cookie and its token.
    const forged = await page.evaluate(async (chat) => {
      const { csrfToken } = await (await fetch("/auth/me")).json();
      const calls: [string, string, object?][] = [
        ["POST", "/projects/mrx-hello/chats", { title: "No" }],
        ["POST", `/projects/mrx-hello/chats/${chat}/messages`, { text: "No" }],
        ["DELETE", `/projects/mrx-hello/chats/${chat}`],
        ["PATCH", "/projects/mrx-hello", { title: "No" }],
        ["PUT", "/projects/mrx-hello/prompt", { text: "No" }],
        ["PUT", "/projects/mrx-hello/members/vera", { right: "admin" }],
        ["DELETE", "/projects/mrx-hello"],
        ["POST", "/admin/secrets", { projectId: "mrx-hello", name: "mine", value: "a value of hers" }],
        ["GET", "/admin/secrets/mrx-hello"],
        ["POST", "/admin/invites", { role: "admin" }],
        ["PATCH", "/admin/users/vera", { role: "admin" }],
      ];
      const headers = { "Content-Type": "application/json", "Mrx-Csrf": csrfToken };
      const answers = calls.map(async ([method, path, body]) => {
        const init = { method, headers, ...(body && { body: JSON.stringify(body) }) };
        return `${method} ${path} ${(await fetch(path, init)).status}`;
      });
      return (await Promise.all(answers)).filter((answer) => !answer.endsWith(" 403"));
    }, chatId);
    assert.deepEqual(forged, [], "each is refused");
    const chats = (await w.api("GET", "/projects/mrx-hello/chats")) as { chats: { title: string }[] };
    assert.deepEqual(
      chats.chats.map((chat) => chat.title),
      ["Blue buttons"],
    );
  } finally {
    await w.end();
  }
});
