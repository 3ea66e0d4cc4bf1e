// What happens by itself: schedules that make jobs, and webhooks that tell others.
import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import type { Schemas } from "../src/api/read.ts";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

test("a schedule is made with its time in words, turned off, changed and removed", async () => {
  const w = await world();
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/schedules`);
    await page.getByRole("heading", { name: "No schedules yet" }).waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "New schedule" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("nightly");
    await dialog.getByLabel("When").fill("61 * * * *");
    await dialog.getByRole("button", { name: "Make the schedule" }).click();
    await dialog.getByRole("alert").waitFor();
    await dialog.getByRole("button", { name: "At 06:30 on weekdays" }).click();
    await dialog.getByText("At 06:30 UTC, Monday to Friday.").waitFor();
    await dialog.getByLabel("What the job is to do").fill('{"ref": "main"}');
    await dialog.getByLabel("Time zone").selectOption("Europe/Berlin");
    await dialog.getByText("At 06:30 Europe/Berlin, Monday to Friday.").waitFor();
    await dialog.getByLabel("Concurrency group").fill("night");
    await isAccessible(page);
    await picture(page, "schedule");
    await dialog.getByRole("button", { name: "Make the schedule" }).click();
    const row = page.getByRole("listitem", { name: "nightly" });
    await row.getByText("At 06:30 Europe/Berlin, Monday to Friday").waitFor();
    const read = () =>
      w.api("GET", "/projects/mrx-hello/schedules/nightly") as Promise<
        Schemas["Schedule"] & { nextRunAt: string }
      >;
    const made = await read();
    assert.deepEqual(made.payload, { ref: "main" });
    assert.deepEqual(
      [made.timeZone, made.priority, made.timeoutSeconds, made.concurrencyGroup],
      ["Europe/Berlin", 0, 3600, "night"],
    );
    const shown = await page.evaluate(
      (at) =>
        new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" }).format(new Date(at)),
      made.nextRunAt,
    );
    await row.getByText(shown).waitFor();
    await isAccessible(page);
    await row.getByRole("button", { name: "Turn nightly off" }).click();
    await row.getByText("not while it is off").waitFor();
    await row.getByRole("button", { name: "Change nightly" }).click();
    assert.equal(await dialog.getByLabel("Time zone").inputValue(), "Europe/Berlin");
    await dialog.getByLabel("When").fill("*/15 * * * *");
    await dialog.getByLabel("Priority").fill("-3");
    await dialog.getByLabel("Time limit").fill("90");
    await dialog.getByLabel("Concurrency group").fill("");
    await dialog.getByRole("button", { name: "Save" }).click();
    await row.getByText("Every 15 minutes").waitFor();
    const changed = await read();
    assert.deepEqual(
      [changed.timeZone, changed.priority, changed.timeoutSeconds, changed.concurrencyGroup],
      ["Europe/Berlin", -3, 90, undefined],
    );
    await row.getByRole("button", { name: "Remove nightly" }).click();
    await dialog.getByRole("button", { name: "Remove it" }).click();
    await page.getByRole("heading", { name: "No schedules yet" }).waitFor();
  } finally {
    await w.end();
  }
});

/** A receiver of webhooks on this machine. */
async function receiver() {
  const got: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    got.push(request.headers);
    request.resume().on("end", () => response.end("thank you"));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return { got, url: `http://127.0.0.1:${port}/hook`, end: () => server.close() };
}

test("a webhook is made, pinged, and shows each delivery to its receiver", async () => {
  const other = await receiver();
  const w = await world({ args: ["--allow-private-webhooks"] });
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/webhooks`);
    await page.getByRole("heading", { name: "No webhooks yet" }).waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "New webhook" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Address").fill(other.url);
    await dialog.getByLabel("Events").fill("job.*, chat.created");
    await isAccessible(page);
    await dialog.getByRole("button", { name: "Make the webhook" }).click();
    await dialog.getByText(/^whsec_/).waitFor();
    await isAccessible(page);
    await dialog.getByRole("button", { name: "I have kept the secret" }).click();
    await page.getByRole("link", { name: new RegExp(other.url) }).click();
    await page.getByRole("heading", { name: "Nothing was sent yet" }).waitFor();
    await page.getByRole("button", { name: "Ping" }).click();
    await page.getByText("The receiver answered 200.").waitFor();
    assert.equal(other.got[0]?.["mrx-event"], "ping");
    await w.api("POST", "/jobs/create", { projectId: "mrx-hello", jobType: "build" });
    const delivery = page.getByRole("listitem").filter({ hasText: "job.created" });
    await delivery.getByText("delivered").waitFor();
    await delivery.getByText("What the receiver answered").click();
    await delivery.getByText("thank you").waitFor();
    await isAccessible(page);
    await picture(page, "webhook");
    await delivery.getByRole("button", { name: "Send again" }).click();
    await delivery.getByText("2 attempts").waitFor();
    const ids = other.got.filter((one) => one["mrx-event"] === "job.created");
    assert.equal(ids.length, 2);
    assert.equal(ids[0]?.["mrx-delivery"], ids[1]?.["mrx-delivery"]);
    await page.getByRole("button", { name: "Turn off" }).click();
    await page.getByText("off", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Remove it" }).click();
    await dialog.getByRole("button", { name: "Remove it" }).click();
    await page.getByRole("heading", { name: "No webhooks yet" }).waitFor();
  } finally {
    other.end();
    await w.end();
  }
});
