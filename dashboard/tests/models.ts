// A real server of models, LiteLLM, with a way to it that can be made slow; and an agent that asks it.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { soon, type World } from "./world.ts";

const REPOSITORY = resolve(import.meta.dirname, "../..");
const MRX = process.env.MRX_BINARY ?? join(REPOSITORY, "target/debug/mrx");
const LITELLM = process.env.MRX_LITELLM ?? join(REPOSITORY, "target/models-venv/bin/litellm");
/** As tests/models/config.yaml has it. */
const KEY = "sk-canary-of-litellm";
/** Python loads slowly on a small, busy machine. */
const START_MS_MAX = 300_000;

export interface Models {
  /** The project's secret that leads to a model of this server. */
  secret(model: string): string;
  /** From now on only so many pieces of an answer come through, until `free`. */
  hold(pieces: number): void;
  free(): void;
  end(): Promise<void>;
}

export async function models(): Promise<Models> {
  if (!existsSync(LITELLM)) throw new Error(`${LITELLM} is missing: make test-models makes it`);
  const port = await freePort();
  const args = ["--config", join(REPOSITORY, "tests/models/config.yaml"), "--host", "127.0.0.1"];
  const child = spawn(LITELLM, [...args, "--port", String(port)], {
    env: { ...process.env, LITELLM_LOCAL_MODEL_COST_MAP: "True", NO_PROXY: "*" },
    stdio: "ignore",
  });
  await ready(`http://127.0.0.1:${port}/health/liveliness`, child);
  const gate = new Gate();
  const relay = await relayTo(port, gate);
  const baseUrl = `http://127.0.0.1:${(relay.address() as AddressInfo).port}/v1`;
  return {
    secret: (model) => JSON.stringify({ baseUrl, model, apiKey: KEY }),
    hold: (pieces) => gate.hold(pieces),
    free: () => gate.free(),
    async end() {
      gate.free();
      relay.closeAllConnections();
      await new Promise((done) => relay.close(done));
      await ended(child);
    },
  };
}

/** Lets pieces through, or holds them back. */
class Gate {
  private left = Number.POSITIVE_INFINITY;
  private waiting: (() => void)[] = [];
  hold(pieces: number) {
    this.left = pieces;
  }
  free() {
    this.left = Number.POSITIVE_INFINITY;
    for (const go of this.waiting.splice(0)) go();
  }
  async pass(): Promise<void> {
    if (this.left > 0) this.left -= 1;
    else await new Promise<void>((go) => this.waiting.push(go));
  }
}

/** Hands calls on to the server of models, and its answers back, event by event, as the gate lets them. */
async function relayTo(port: number, gate: Gate): Promise<Server> {
  const server = createServer((call, answer) => {
    const { method, url, headers } = call;
    const onward = request({ host: "127.0.0.1", port, method, path: url, headers }, async (from) => {
      answer.writeHead(from.statusCode ?? 502, from.headers);
      try {
        for await (const chunk of from) {
          for (const piece of String(chunk).split(/(?<=\n\n)/)) {
            await gate.pass();
            answer.write(piece);
          }
        }
      } catch {
        // One of the two has gone; then so does the other.
      }
      answer.end();
    });
    onward.on("error", () => answer.destroy());
    call.pipe(onward);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

/** Starts `mrx agent` for a world; gives what ends it. */
export async function agent(world: World, name: string): Promise<() => Promise<void>> {
  const home = mkdtempSync(join(tmpdir(), "mrx-ui-agent-"));
  const { key } = (await world.api("POST", "/admin/agents", { agentId: name })) as { key: string };
  writeFileSync(join(home, "key"), key, { mode: 0o600 });
  const args = ["agent", "--daemon", world.url, "--token-file", join(home, "key"), "--name", name];
  const child = spawn(MRX, [...args, "--work-dir", join(home, "work"), "--sandbox", "off"], {
    stdio: "ignore",
  });
  return async () => {
    await ended(child);
    rmSync(home, { recursive: true, force: true });
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  try {
    await soon(exit, () => `${child.spawnargs.slice(0, 2).join(" ")} stops`);
  } finally {
    child.kill("SIGKILL");
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

async function ready(address: string, child: ChildProcess): Promise<void> {
  const end = Date.now() + START_MS_MAX;
  while (!(await fetch(address, { signal: AbortSignal.timeout(1000) }).catch(() => null))?.ok) {
    if (child.exitCode !== null) throw new Error("LiteLLM has ended");
    if (Date.now() > end) throw new Error("LiteLLM does not start");
    await new Promise((done) => setTimeout(done, 250));
  }
}
