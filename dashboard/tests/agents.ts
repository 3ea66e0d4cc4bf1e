// Agents for tests: the real one, and one that the test moves call by call. And code for them to build.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { World } from "./world.ts";

const MRX = process.env.MRX_BINARY ?? join(resolve(import.meta.dirname, "../.."), "target/debug/mrx");
/** The daemon takes so much of a log in a call. */
const LOG_CALL_BYTES = 1 << 20;

/** Registers an agent and gives its key. */
async function register(w: World, name: string): Promise<string> {
  const { key } = (await w.api("POST", "/admin/agents", { agentId: name })) as { key: string };
  return key;
}

/** Puts files into the code of a project of the local forge. */
export async function pushCode(w: World, project: string, files: Record<string, string>): Promise<void> {
  const { repo } = (await w.api("GET", `/projects/${project}`)) as { repo: string };
  const folder = mkdtempSync(join(tmpdir(), "mrx-code-"));
  const git = (...words: string[]) =>
    execFileSync("git", ["-c", "user.name=Anna", "-c", "user.email=anna@example.org", ...words], {
      cwd: folder,
      stdio: "pipe",
    });
  try {
    git("init", "--quiet", "--initial-branch=main");
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, dirname(path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    git("add", "--all");
    git("commit", "--quiet", "--message=Files");
    git("push", "--quiet", "--force", repo, "main:main");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** `mrx agent` at work until it is stopped. */
export async function realAgent(w: World, name: string): Promise<{ stop(): Promise<void> }> {
  const key = await register(w, name);
  const work = mkdtempSync(join(tmpdir(), "mrx-agent-"));
  const child = spawn(MRX, ["agent", "--daemon", w.url, "--name", name, "--work-dir", work], {
    env: { ...process.env, MRX_AGENT_TOKEN: key },
    stdio: "ignore",
  });
  return {
    async stop() {
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGTERM");
      await ended;
      rmSync(work, { recursive: true, force: true });
    },
  };
}

export interface Held {
  id: string;
  /** Appends to the job's log. */
  write(text: string | Uint8Array): Promise<void>;
  tell(report: object): Promise<void>;
}

/** Claims the next job as a fresh agent. */
export async function claim(w: World, name: string): Promise<Held> {
  const key = await register(w, name);
  let lease = "";
  const call = async (method: string, path: string, body: BodyInit, headers: Record<string, string>) => {
    const authorization = { Authorization: `Bearer ${key}`, ...(lease && { "Job-Lease": lease }) };
    const response = await fetch(`${w.url}${path}`, {
      method,
      body,
      headers: { ...authorization, ...headers },
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  const json = { "Content-Type": "application/json" };
  const held = await call("POST", "/jobs/claim", JSON.stringify({ wait: 10 }), {
    ...json,
    "Idempotency-Key": name,
  });
  lease = held.lease.id;
  const path = `/jobs/${held.job.jobId}`;
  let size = 0;
  return {
    id: held.job.jobId,
    async write(text) {
      const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
      for (let at = 0; at < bytes.length; at += LOG_CALL_BYTES) {
        const part = bytes.slice(at, at + LOG_CALL_BYTES);
        await call("PATCH", `${path}/logs`, part, {
          "Content-Type": "application/octet-stream",
          "Content-Range": `bytes ${size}-${size + part.length - 1}/*`,
        });
        size += part.length;
      }
    },
    async tell(report) {
      await call("PATCH", path, JSON.stringify(report), json);
    },
  };
}
