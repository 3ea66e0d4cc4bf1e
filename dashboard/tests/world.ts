// The world of a test: the real daemon on a data folder of its own, and a browser in which nothing may go wrong.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const REPOSITORY = resolve(import.meta.dirname, "../..");
const MRX = process.env.MRX_BINARY ?? join(REPOSITORY, "target/debug/mrx");
const CHROMIUM = process.env.MRX_CHROMIUM ?? "/usr/bin/chromium";
const CHROMIUM_ARGS = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];
/** How long a page may take to show something, and the daemon to answer, to start and to stop, on a slow machine. */
const WAIT_MS = 60_000;
export const PASSWORD = "correct horse battery";

export interface World {
  url: string;
  /** The link that the daemon printed while there was no admin. */
  setupLink: string | null;
  /** Calls the API as the operator. */
  api(method: string, path: string, body?: unknown): Promise<unknown>;
  /** Runs `mrx` on the daemon's data folder or address. */
  mrx(...args: string[]): string;
  /** Makes an account, as `mrx admin user add` does. */
  addUser(name: string, role: "viewer" | "developer" | "admin"): void;
  /** A fresh browser's page; what its console says against it fails the test. */
  page(options?: { theme?: "light" | "dark"; width?: number; height?: number }): Promise<Page>;
  /** A page that is signed in. */
  signedIn(
    name: string,
    options?: { theme?: "light" | "dark"; width?: number; height?: number },
  ): Promise<Page>;
  /** The folder of the repository of a project's state. */
  repository(project: string): string;
  stopDaemon(): Promise<void>;
  startDaemon(): Promise<void>;
  end(): Promise<void>;
}

let browser: Browser | null = null;

async function theBrowser(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) {
    throw new Error(`${CHROMIUM} is missing: apt-get install chromium, or name another one in MRX_CHROMIUM`);
  }
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
  return browser;
}

export async function closeBrowser(): Promise<void> {
  await browser?.close();
  browser = null;
}

interface Daemon {
  child: ChildProcess;
  /** How it ended. */
  ended: Promise<string>;
  url: string;
  setupLink: string | null;
}

/** Starts the daemon and reads where it listens from what it prints. */
async function start(data: string, listen: string, args: string[], hasAdmin: boolean): Promise<Daemon> {
  if (!existsSync(MRX)) throw new Error(`${MRX} is missing: cargo build`);
  const child = spawn(MRX, ["serve", "--data", data, "--listen", listen, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let errors = "";
  child.stderr?.on("data", (text) => {
    errors += text;
  });
  const ended = new Promise<string>((done) =>
    child.once("exit", (code, signal) => done(`mrx serve ended with ${code ?? signal}: ${errors}`)),
  );
  const lines = createInterface({ input: child.stdout });
  const found: Daemon = { child, ended, url: "", setupLink: null };
  const starts = async () => {
    for await (const line of lines) {
      found.url ||= /listens on (http:\S+)/.exec(line)?.[1] ?? "";
      found.setupLink ??= /(http:\S+\/ui\/setup#\S+)/.exec(line)?.[1] ?? null;
      // The last line of what it says at its start.
      if (hasAdmin ? /operator's token/.test(line) : /mrx admin user add/.test(line)) return;
    }
    throw new Error(await ended);
  };
  await soon(starts(), () => `mrx serve starts: ${errors}`);
  child.stdout?.resume();
  await until(
    async () => (await fetch(`${found.url}/ready`, { signal: timely() }).catch(() => null))?.ok === true,
    "the daemon is ready",
  );
  return found;
}

async function stop({ child, ended }: Daemon): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) throw new Error(await ended);
  child.kill("SIGTERM");
  try {
    await soon(ended, () => "mrx serve stops");
  } finally {
    child.kill("SIGKILL");
  }
}

function timely(): AbortSignal {
  return AbortSignal.timeout(WAIT_MS);
}

/** What a promise gives, if it does so in time. */
export async function soon<T>(promise: Promise<T>, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(`waited in vain: ${what()}`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + WAIT_MS;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** A world. Without `isFresh` it has an admin `anna`. */
export async function world({ isFresh = false, args = [] as string[] } = {}): Promise<World> {
  const home = mkdtempSync(join(tmpdir(), "mrx-ui-"));
  const data = join(home, "data");
  const passwordFile = join(home, "password");
  writeFileSync(passwordFile, PASSWORD, { mode: 0o600 });
  const mrx = (...words: string[]) => execFileSync(MRX, words, { cwd: home, encoding: "utf8" });
  let daemon = await start(data, "127.0.0.1:0", args, false);
  let isStopped = false;
  const contexts: BrowserContext[] = [];
  const troubles: string[] = [];
  const self: World = {
    url: daemon.url,
    setupLink: daemon.setupLink,
    mrx,
    addUser(name, role) {
      mrx("admin", "user", "add", name, "--role", role, "--password-file", passwordFile, "--data", data);
    },
    async api(method, path, body) {
      const token = readFileSync(join(data, "keys/admin.token"), "utf8").trim();
      const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
      const init = {
        method,
        headers,
        signal: timely(),
        ...(body !== undefined && { body: JSON.stringify(body) }),
      };
      const response = await fetch(`${daemon.url}${path}`, init);
      const text = await response.text();
      assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
      return text && JSON.parse(text);
    },
    async page({ theme = "light", width = 1280, height = 800 } = {}) {
      const opened = (await theBrowser()).newContext({ colorScheme: theme, viewport: { width, height } });
      const context = await soon(opened, () => "Chromium opens a context");
      contexts.push(context);
      const page = await soon(context.newPage(), () => "Chromium opens a page");
      page.setDefaultTimeout(WAIT_MS);
      page.on("console", (message) => {
        // A refusal that a page shows is no fault of the page; the browser notes it anyway.
        const isRefusal = /Failed to load resource: (the server responded|net::ERR_)/.test(message.text());
        if (message.type() === "error" && !isRefusal) troubles.push(message.text());
      });
      page.on("pageerror", (error) => troubles.push(`${error}`));
      return page;
    },
    async signedIn(name, options) {
      const page = await self.page(options);
      await page.goto(`${daemon.url}/ui/sign-in`);
      await page.getByLabel("Name").fill(name);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("heading", { name: "Projects", exact: true }).waitFor();
      return page;
    },
    repository: (project) => join(data, "repos/projects", `${project}.git`),
    async stopDaemon() {
      isStopped = true;
      await stop(daemon);
    },
    async startDaemon() {
      daemon = await start(data, new URL(daemon.url).host, args, true);
      isStopped = false;
    },
    async end() {
      for (const context of contexts) await soon(context.close(), () => "Chromium closes a context");
      if (isStopped) await daemon.ended;
      else await stop(daemon);
      rmSync(home, { recursive: true, force: true });
      assert.deepEqual(troubles, [], "the browser's console has no error");
    },
  };
  if (!isFresh) self.addUser("anna", "admin");
  return self;
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** No serious or critical issue of accessibility (WCAG 2.2 AA), in either theme; the page is left in its own. */
export async function isAccessible(page: Page): Promise<void> {
  const before = await page.evaluate(() => document.documentElement.dataset.theme);
  for (const theme of before === "dark" ? ["light", "dark"] : ["dark", "light"]) {
    await page.evaluate((name) => {
      document.documentElement.dataset.theme = name;
    }, theme);
    await page.evaluate(() =>
      Promise.all(
        document
          .getAnimations()
          .filter((one) => one.effect?.getTiming().iterations === 1)
          // One that is taken away while it runs has ended too.
          .map((one) => one.finished.catch(() => {})),
      ),
    );
    await page.evaluate(axeSource);
    const found = await page.evaluate(async () => {
      // biome-ignore lint/suspicious/noExplicitAny: axe puts itself into the window
      const { violations } = await (window as any).axe.run(document, {
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
      });
      return violations
        .filter(({ impact }: { impact: string }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }: { id: string; nodes: { html: string; failureSummary: string }[] }) =>
          [id, ...nodes.map((node) => `${node.html} ${node.failureSummary}`)].join("\n  "),
        );
    });
    assert.deepEqual(found, [], `axe, ${theme}`);
  }
}

/** Keeps a picture for the documentation, when it is asked for: `MRX_PICTURES=1`. */
export async function picture(page: Page, name: string): Promise<void> {
  if (!process.env.MRX_PICTURES) return;
  await page.screenshot({ path: join(REPOSITORY, "docs/pictures", `${name}.png`), animations: "disabled" });
}
