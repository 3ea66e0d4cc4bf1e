// Amounts in the words of a glance.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** `3.4 MiB`. */
export function bytes(count: number): string {
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `0.24 ms`, `12 ms`, `1.2 s`. */
export function millis(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}

/** `12,345`. */
export function count(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString() : "";
}
