// Sizes in the words of a glance: `512 B`, `3.4 MB`.
const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count: number): string {
  let [value, unit] = [count, 0];
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
