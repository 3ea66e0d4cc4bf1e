// The name, with its mark.
export function Logo() {
  return (
    <span className="inline-flex items-center gap-2 text-base font-semibold tracking-tight">
      <img src="/ui/favicon.svg" alt="" width={22} height={22} />
      MrX
    </span>
  );
}
