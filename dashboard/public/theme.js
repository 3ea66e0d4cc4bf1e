// Chooses light or dark before anything is painted. The switch is in src/shell/theme.ts.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("mrx.theme");
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  const isDark =
    chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
})();
