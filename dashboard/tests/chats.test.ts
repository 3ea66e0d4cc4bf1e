// Chats: an answer by a real server of models streams in, is stopped, fails, and is asked for again.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { agent, type Models, models } from "./models.ts";
import { closeBrowser, isAccessible, picture, type World, world } from "./world.ts";

let server: Models;
before(async () => {
  // One for all: it takes half a minute to start.
  server = await models();
});
after(async () => {
  await server.end();
  await closeBrowser();
});

/** A world with a project whose chats a model answers. */
async function withModel(model: string): Promise<World> {
  const w = await world();
  await w.api("POST", "/projects", { name: "mrx-hello", description: "A first project" });
  await w.api("POST", "/admin/secrets", { projectId: "mrx-hello", kind: "llm", value: server.secret(model) });
  return w;
}

/** A page that shows a chat in which nothing was said. */
async function atNewChat(w: World): Promise<Page> {
  await w.api("POST", "/projects", { name: "mrx-hello" });
  const { chatId } = (await w.api("POST", "/projects/mrx-hello/chats", { title: "Short" })) as {
    chatId: string;
  };
  const page = await w.signedIn("anna");
  await page.goto(`${w.url}/ui/projects/mrx-hello/chats/${chatId}`);
  return page;
}

test("a new chat's answer streams in, word by word, as Markdown with code to copy", async () => {
  const w = await withModel("coder");
  let end = async () => {};
  try {
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats`);
    await page.getByRole("heading", { name: "No chats yet" }).waitFor();
    await isAccessible(page);
    await page.getByRole("link", { name: "New chat" }).click();
    await page.getByLabel("Write the first message").fill("How does the retry wait?");
    await isAccessible(page);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "How does the retry wait?" }).waitFor();
    await page.getByText("waiting for an agent").waitFor();
    server.hold(3);
    end = await agent(w, "talker-1");
    await page.getByText("writing").waitFor();
    const log = page.getByRole("log");
    await log.getByText("The", { exact: false }).last().waitFor();
    assert.equal(await log.getByText("stays text").count(), 0, "the rest has not come yet");
    server.free();
    await page.getByText("stays text").waitFor();
    await page.getByText("writing").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Stop" }).waitFor({ state: "detached" });
    await log.locator(".code-block .hljs-keyword").first().waitFor();
    await log.getByRole("button", { name: "Copy the code" }).waitFor();
    await log.getByRole("cell", { name: "2 s" }).waitFor();
    assert.equal(await log.locator("img").count(), 0, "HTML in an answer stays text");
    assert.equal(await log.getByRole("article").count(), 2, "the answer is there once");
    await isAccessible(page);
    for (const title of ["Why do forecasts lag by an hour?", "Rename the crate"])
      await w.api("POST", "/projects/mrx-hello/chats", { title });
    await page.getByRole("link", { name: /Rename the crate/ }).waitFor();
    await picture(page, "chat");
    await page.reload();
    await page.getByText("stays text").waitFor();
    assert.equal(await log.getByRole("article").count(), 2);
  } finally {
    server.free();
    await end();
    await w.end();
  }
});

test("an answer that is stopped leaves what there was of it, and can be asked for again", async () => {
  const w = await withModel("tiny");
  let end = async () => {};
  try {
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats/new`);
    await page.getByLabel("Write the first message").fill("Greet me");
    server.hold(4);
    end = await agent(w, "talker-1");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("writing").waitFor();
    const log = page.getByRole("log");
    await log.getByText("Hello").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("stopped here").waitFor();
    assert.equal(await log.getByText("word by word by word.").count(), 0);
    server.free();
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByText("Hello from LiteLLM, word by word by word.").waitFor();
    // A second message, which shows at once and is answered in its turn.
    await page.getByLabel("Write a message").fill("Again");
    await page.keyboard.press("Enter");
    await log.getByText("Again", { exact: true }).waitFor();
    await page.getByText("Hello from LiteLLM, word by word by word.").nth(1).waitFor();
  } finally {
    server.free();
    await end();
    await w.end();
  }
});

test("an answer that fails says why, and is tried again when that is put right", async () => {
  const w = await world();
  let end = async () => {};
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const body = { message: { text: "Is anybody there?" } };
    const { chatId } = (await w.api("POST", "/projects/mrx-hello/chats", body)) as { chatId: string };
    end = await agent(w, "talker-1");
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats/${chatId}`);
    await page.getByText("modelUnset").waitFor();
    await isAccessible(page);
    const secret = { projectId: "mrx-hello", kind: "llm", value: server.secret("tiny") };
    await w.api("POST", "/admin/secrets", secret);
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByText("Hello from LiteLLM, word by word by word.").waitFor();
  } finally {
    await end();
    await w.end();
  }
});

test("files go along with a message and come back as they were", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats/new`);
    const buffer = Buffer.from([0, 255, 13, 10, 128, 7]);
    const file = { name: "screen.bin", mimeType: "image/png", buffer };
    await page.getByLabel("Attach files").and(page.locator("input")).setInputFiles(file);
    await page.getByLabel("Write the first message").fill("Look at this");
    await page.getByRole("button", { name: "Send" }).click();
    const link = page.getByRole("link", { name: /screen\.bin/ });
    await link.getByText("6 B").waitFor();
    const download = page.waitForEvent("download");
    await link.click();
    const chunks: Buffer[] = [];
    for await (const chunk of await (await download).createReadStream()) chunks.push(chunk as Buffer);
    assert.deepEqual(Buffer.concat(chunks), buffer);
  } finally {
    await w.end();
  }
});

test("chats are found, renamed, given another model and deleted, by whoever may write", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const begin = (title: string) => w.api("POST", "/projects/mrx-hello/chats", { title });
    const { chatId } = (await begin("Blue buttons")) as { chatId: string };
    await begin("Red lamps");
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats`);
    await page.getByRole("link", { name: /Red lamps/ }).waitFor();
    await isAccessible(page);
    await picture(page, "chats");
    await page.keyboard.press("/");
    await page.keyboard.type("blue");
    await page.getByRole("link", { name: /Red lamps/ }).waitFor({ state: "detached" });
    assert.equal(new URL(page.url()).search, "?q=blue");
    await page.getByRole("link", { name: /Blue buttons/ }).click();
    await page.getByRole("heading", { name: "Nothing was said yet" }).waitFor();
    await page.getByLabel("Which model answers").selectOption("openai");
    await page.getByRole("button", { name: "Rename the chat" }).click();
    await page.getByLabel("Title").fill("Green buttons");
    await isAccessible(page);
    await page.getByRole("button", { name: "Rename it" }).click();
    await page.getByRole("heading", { name: "Green buttons" }).waitFor();
    const chat = (await w.api("GET", `/projects/mrx-hello/chats/${chatId}`)) as Record<string, unknown>;
    assert.deepEqual([chat.title, chat.llmMode], ["Green buttons", "openai"]);
    await page.getByRole("button", { name: "Delete the chat" }).click();
    await page.getByRole("button", { name: "Delete it" }).click();
    await page.getByRole("link", { name: /Red lamps/ }).waitFor();
    await page.getByRole("link", { name: /Green buttons/ }).waitFor({ state: "detached" });
  } finally {
    await w.end();
  }
});

test("older messages come as one scrolls up, and what is sent by others shows", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const { chatId } = (await w.api("POST", "/projects/mrx-hello/chats", { title: "Long" })) as {
      chatId: string;
    };
    const say = (text: string) => w.api("POST", `/projects/mrx-hello/chats/${chatId}/messages`, { text });
    for (let number = 1; number <= 60; number += 1) await say(`message ${number}, said`);
    const page = await w.signedIn("anna", { theme: "dark", width: 390, height: 760 });
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats/${chatId}`);
    await page.getByText("message 60, said").waitFor();
    assert.equal(await page.getByText("message 10, said").count(), 0, "the newest page is read first");
    await page.getByText("message 11, said").scrollIntoViewIfNeeded();
    await page.getByText("message 1, said").waitFor();
    await page.getByText("message 60, said").scrollIntoViewIfNeeded();
    await say("and one more");
    await page.getByText("and one more").waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await isAccessible(page);
  } finally {
    await w.end();
  }
});

test("a chat as of an earlier commit shows what was said by then, and takes no message", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const begun = { message: { text: "the first words" } };
    // The history is read from git, where a commit is a moment later than in memory.
    const { chatId } = (await w.api("POST", "/projects/mrx-hello/chats?ack=published", begun)) as {
      chatId: string;
    };
    const history = (await w.api("GET", "/projects/mrx-hello/history")) as { commits: { commit: string }[] };
    const before = history.commits[0]?.commit ?? "";
    await w.api("POST", `/projects/mrx-hello/chats/${chatId}/messages`, { text: "the second words" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats/${chatId}?at=${before}`);
    const log = page.getByRole("log");
    await log.getByText("the first words").waitFor();
    await page.getByPlaceholder("The past cannot be changed").waitFor();
    assert.equal(await log.getByText("the second words").count(), 0);
    assert.ok(await page.getByLabel("Write a message").isDisabled());
    await page.getByRole("button", { name: "Return to now" }).click();
    await log.getByText("the second words").waitFor();
    assert.ok(await page.getByLabel("Write a message").isEnabled());
  } finally {
    await w.end();
  }
});

test("a first message that was not taken stays where it was written, and makes one chat when it is sent again", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/chats/new`);
    const text = page.getByLabel("Write the first message");
    await text.fill("are you there?");
    await w.stopDaemon();
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("alert").getByText("did not answer").waitFor();
    assert.equal(await text.inputValue(), "are you there?");
    await w.startDaemon();
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("waiting for an agent").waitFor();
    const { chats } = (await w.api("GET", "/projects/mrx-hello/chats")) as { chats: object[] };
    assert.equal(chats.length, 1);
  } finally {
    await w.end();
  }
});

test("a message that is told before the call that sent it is answered shows once", async () => {
  const w = await world();
  let answer = () => {};
  try {
    const page = await atNewChat(w);
    const held = new Promise<void>((done) => {
      answer = done;
    });
    await page.route("**/messages", async (route) => {
      if (route.request().method() !== "POST") return route.continue();
      const response = await route.fetch();
      await held;
      await route.fulfill({ response });
    });
    const log = page.getByRole("log");
    const send = async (text: string) => {
      await page.getByLabel("Write a message").fill(text);
      await page.getByRole("button", { name: "Send" }).click();
    };
    await send("Again");
    // What is told has a time; what is only on its way has none.
    await log.getByRole("article", { name: "Message of anna" }).locator("time").waitFor();
    await log.getByText("Again", { exact: true }).first().waitFor();
    assert.equal(await log.getByText("Again", { exact: true }).count(), 1);
    // The same words once more are a message of their own, which waits for its turn.
    await send("Again");
    await log.getByText("sending").waitFor();
    assert.equal(await log.getByText("Again", { exact: true }).count(), 2);
    answer();
    await log.getByText("sending").waitFor({ state: "detached" });
    assert.equal(await log.getByText("Again", { exact: true }).count(), 2);
  } finally {
    answer();
    await w.end();
  }
});

test("a message that the daemon refuses stays, to be sent again or taken back", async () => {
  const w = await world();
  try {
    const page = await atNewChat(w);
    const log = page.getByRole("log");
    await page.getByLabel("Write a message").fill("x".repeat(40_000));
    await page.getByRole("button", { name: "Send" }).click();
    await log.getByRole("alert").waitFor();
    await page.getByRole("button", { name: "Discard" }).click();
    await log.getByRole("article").waitFor({ state: "detached" });
    // While the daemon is away; then it is sent again, and is there once.
    await w.stopDaemon();
    await page.getByLabel("Write a message").fill("are you there?");
    await page.getByRole("button", { name: "Send" }).click();
    await log.getByRole("alert").waitFor();
    await w.startDaemon();
    await page.getByRole("button", { name: "Send again" }).click();
    await log.getByText("waiting for an agent").waitFor();
    await log.getByRole("alert").waitFor({ state: "detached" });
    assert.equal(await log.getByText("are you there?").count(), 1);
  } finally {
    await w.end();
  }
});
