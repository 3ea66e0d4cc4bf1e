// A project's remote: set, synced, and told what is wrong.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { closeBrowser, isAccessible, picture, world } from "./world.ts";

after(closeBrowser);

test("a remote is set, has the state after a sync, and is ended", async () => {
  const home = mkdtempSync(join(tmpdir(), "mrx-ui-remote-"));
  const bare = join(home, "state.git");
  const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8" }).trim();
  git("init", "--quiet", "--bare", "--initial-branch=main", bare);
  const w = await world({ args: ["--allow-local-remotes"] });
  try {
    await w.api("POST", "/projects", { name: "mrx-hello" });
    const page = await w.signedIn("anna");
    await page.goto(`${w.url}/ui/projects/mrx-hello/remote`);
    await page.getByRole("heading", { name: "The state is here alone" }).waitFor();
    await isAccessible(page);
    await page.getByRole("button", { name: "Set a remote" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Repository").fill(`file://${bare}`);
    await isAccessible(page);
    await dialog.getByRole("button", { name: "Set it" }).click();
    await page.getByRole("button", { name: "Sync now" }).click();
    // Its host would make the first branch the default one, so nothing is pushed into an empty repository.
    await page.getByText("emptyRemote").waitFor();
    await isAccessible(page);
    const tree = execFileSync("git", ["--git-dir", bare, "mktree"], { input: "", encoding: "utf8" }).trim();
    const who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "--git-dir", bare];
    git("--git-dir", bare, "update-ref", "refs/heads/main", git(...who, "commit-tree", tree, "-m", "begin"));
    await page.getByRole("button", { name: "Sync now" }).click();
    await page.getByText("The remote has the state.").waitFor();
    await page.getByText("up to date").waitFor();
    const pushed = git("--git-dir", bare, "rev-parse", "refs/heads/mrx/state");
    await page.getByRole("link", { name: pushed.slice(0, 12) }).waitFor();
    await picture(page, "remote");
    await page.getByRole("button", { name: "End it" }).click();
    await dialog.getByRole("button", { name: "End it" }).click();
    await page.getByRole("heading", { name: "The state is here alone" }).waitFor();
    assert.equal(git("--git-dir", bare, "rev-parse", "refs/heads/mrx/state"), pushed, "what is there stays");
  } finally {
    await w.end();
    rmSync(home, { recursive: true, force: true });
  }
});
