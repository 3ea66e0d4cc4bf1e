// What a page's address may say behind the `?`: texts, of which those that are absent or empty are not there.

type Texts<Name extends string> = Partial<Record<Name, string>>;

export function texts<Name extends string>(...names: Name[]) {
  return (search: Record<string, unknown>): Texts<Name> => {
    const found: Texts<Name> = {};
    for (const name of names) {
      const value = search[name];
      if (typeof value === "string" && value !== "") found[name] = value;
    }
    return found;
  };
}
