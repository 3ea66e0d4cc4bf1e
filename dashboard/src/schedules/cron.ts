// What a cron expression means, in words. The daemon decides; this helps who types.

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const DAY_NAMES = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];

export const EXAMPLES = [
  { cron: "0 3 * * *", text: "Every night at 03:00" },
  { cron: "30 6 * * 1-5", text: "At 06:30 on weekdays" },
  { cron: "*/15 * * * *", text: "Every 15 minutes" },
  { cron: "0 0 1 * *", text: "At the beginning of each month" },
];

/** `At 02:30 Europe/Berlin, Monday to Friday`; null for what is not five fields or too odd for words. */
export function inWords(cron: string, zone = "UTC"): string | null {
  const fields = cron.trim().split(/\s+/);
  if (fields.length !== 5) return null;
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
  const when = timeOfDay(minute, hour, zone);
  const days = [weekdays(weekday), monthDays(day), months(month)];
  if (when === null || days.includes(null)) return null;
  return [when, ...days.filter(Boolean)].join(", ");
}

function timeOfDay(minute: string, hour: string, zone: string): string | null {
  const every = /^\*\/(\d+)$/;
  if (minute === "*" && hour === "*") return "Every minute";
  const minutes = every.exec(minute);
  if (minutes) return hour === "*" ? `Every ${minutes[1]} minutes` : null;
  if (!isNumber(minute, 0, 59)) return null;
  const at = minute.padStart(2, "0");
  if (hour === "*") return `Every hour at minute ${Number(minute)}`;
  const hours = every.exec(hour);
  if (hours) return `Every ${hours[1]} hours at minute ${Number(minute)}`;
  const list = hour.split(",");
  if (!list.every((one) => isNumber(one, 0, 23))) return null;
  return `At ${and(list.map((one) => `${one.padStart(2, "0")}:${at}`))} ${zone}`;
}

function weekdays(field: string): string | null {
  if (field === "*" || field === "?") return "";
  const names = field
    .toUpperCase()
    .split(",")
    .map((part) => {
      const [from, to, more] = part.split("-").map(dayName);
      if (from === undefined || from === null || to === null || more !== undefined) return null;
      return to === undefined ? from : `${from} to ${to}`;
    });
  return names.includes(null) ? null : and(names as string[]);
}

function dayName(text: string): string | null {
  const number = DAY_NAMES.includes(text)
    ? DAY_NAMES.indexOf(text)
    : isNumber(text, 0, 7)
      ? Number(text)
      : -1;
  return DAYS[number] ?? null;
}

function monthDays(field: string): string | null {
  if (field === "*" || field === "?") return "";
  if (field === "L") return "on the last day of the month";
  const list = field.split(",");
  return list.every((one) => isNumber(one, 1, 31)) ? `on day ${and(list)} of the month` : null;
}

function months(field: string): string | null {
  if (field === "*") return "";
  const list = field.split(",");
  if (!list.every((one) => isNumber(one, 1, 12))) return null;
  return `in ${and(list.map((one) => MONTHS[Number(one) - 1] ?? ""))}`;
}

function isNumber(text: string, min: number, max: number): boolean {
  return /^\d{1,2}$/.test(text) && Number(text) >= min && Number(text) <= max;
}

function and(words: readonly string[]): string {
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : (words[0] ?? "");
}
