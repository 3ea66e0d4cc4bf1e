import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { compressed } from "./build/compress.ts";

const daemon = process.env.MRX_SERVER ?? "http://127.0.0.1:8421";
const api = ["/auth", "/projects", "/jobs", "/events", "/agents", "/admin", "/keys", "/health", "/ready"];

export default defineConfig({
  base: "/ui/",
  plugins: [react(), tailwindcss(), compressed()],
  // A data: URL as a script or style is not what the page's policy allows.
  build: { outDir: "dist", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: Object.fromEntries(api.map((path) => [path, daemon])) },
});
