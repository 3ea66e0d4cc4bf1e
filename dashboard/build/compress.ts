// Writes each built file a second and third time, as .br and .gz, and keeps the first page small.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Plugin } from "vite";

/** What a browser loads before it can show the first page, gzipped, is at most this. */
const FIRST_PAGE_BYTES_MAX = 250 * 1024;
/** Smaller files do not get smaller. */
const COMPRESS_BYTES_MIN = 512;
const TEXT = /\.(html|js|css|svg|json|txt)$/;

async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function compress(path: string): Promise<void> {
  const plain = await readFile(path);
  if (plain.length < COMPRESS_BYTES_MIN) return;
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(plain, { params }));
  await writeFile(`${path}.gz`, await promisify(gzip)(plain, { level: 9 }));
}

/** The files that index.html names: the entry, what it imports, its styles. */
async function firstPage(dist: string): Promise<string[]> {
  const html = await readFile(join(dist, "index.html"), "utf8");
  const named = [...html.matchAll(/(?:src|href)="\/ui\/([^"]+)"/g)].map((match) => match[1] ?? "");
  return ["index.html", ...named];
}

export function compressed(): Plugin {
  let dist = "dist";
  return {
    name: "mrx-compressed",
    apply: "build",
    configResolved(config) {
      dist = config.build.outDir;
    },
    async closeBundle() {
      for (const path of (await files(dist)).filter((path) => TEXT.test(path))) await compress(path);
      let bytes = 0;
      for (const name of await firstPage(dist)) {
        bytes += (await promisify(gzip)(await readFile(join(dist, name)), { level: 9 })).length;
      }
      console.log(`the first page loads ${(bytes / 1024).toFixed(1)} KiB gzipped`);
      if (bytes > FIRST_PAGE_BYTES_MAX) {
        throw new Error(`the first page loads ${bytes} bytes gzipped, and may load ${FIRST_PAGE_BYTES_MAX}`);
      }
    },
  };
}
