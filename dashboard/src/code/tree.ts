// Folders out of a list of paths.
import type { Schemas } from "../api/read.ts";

type CodeFile = Schemas["CodeFile"];

export interface Entry {
  path: string;
  name: string;
  isFolder: boolean;
  /** Bytes, of all files of a folder. */
  size: number;
  language: string | null;
  /** How many files a folder has, at any depth. */
  files: number;
}

function entryOf({ path, size, language }: CodeFile): Entry {
  return {
    ...{ path, name: path.slice(path.lastIndexOf("/") + 1), isFolder: false },
    ...{ size, language: language ?? null, files: 1 },
  };
}

/** What a folder holds, folders first. */
export function folder(files: readonly CodeFile[], path: string): Entry[] {
  const prefix = path ? `${path}/` : "";
  const folders = new Map<string, Entry>();
  const here: Entry[] = [];
  for (const file of files) {
    if (!file.path.startsWith(prefix)) continue;
    const slash = file.path.indexOf("/", prefix.length);
    if (slash < 0) {
      here.push(entryOf(file));
      continue;
    }
    const name = file.path.slice(prefix.length, slash);
    const entry = folders.get(name) ?? {
      ...{ path: prefix + name, name, isFolder: true, size: 0, language: null, files: 0 },
    };
    entry.size += file.size;
    entry.files += 1;
    folders.set(name, entry);
  }
  return [...folders.values(), ...here];
}

/** The files whose path has every word. */
export function found(files: readonly CodeFile[], q: string): Entry[] {
  const words = q.toLowerCase().split(/\s+/);
  return files.filter(({ path }) => words.every((word) => path.toLowerCase().includes(word))).map(entryOf);
}

/** So many languages are named. */
const LANGUAGES_MAX = 3;

/** What the code is written in, by bytes: `Rust 82 % · Shell 11 %`. */
export function shares(files: readonly CodeFile[]): string {
  const sizes = new Map<string, number>();
  for (const { language, size } of files)
    if (language) sizes.set(language, (sizes.get(language) ?? 0) + size);
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  return [...sizes]
    .sort(([, one], [, other]) => other - one)
    .slice(0, LANGUAGES_MAX)
    .map(([language, size]) => `${language} ${Math.round((100 * size) / Math.max(total, 1))} %`)
    .join(" · ");
}
