// Colours code by its language, as elements: what the highlighter finds is never put into the page as HTML.
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createElement, type ReactNode } from "react";

const languages = {
  bash,
  c,
  cpp,
  css,
  diff,
  go,
  java,
  javascript,
  json,
  kotlin,
  markdown,
  python,
  rust,
  sql,
  swift,
  typescript,
  xml,
  yaml,
};
for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

/** Longer code is shown plain, so that one message does not hold the page up. */
const CODE_CHARACTERS_MAX = 50_000;

export function highlighted(code: string, language: string | undefined): ReactNode {
  if (!language || !hljs.getLanguage(language) || code.length > CODE_CHARACTERS_MAX) return code;
  const html = hljs.highlight(code, { language, ignoreIllegals: true }).value;
  // A document made by the parser runs nothing and is never shown; only its text and class names are taken.
  const parsed = new DOMParser().parseFromString(html, "text/html");
  return elements(parsed.body.childNodes);
}

function elements(nodes: NodeListOf<ChildNode>): ReactNode[] {
  return [...nodes].map((node, index) =>
    node instanceof Element
      ? createElement("span", { key: index, className: node.className }, elements(node.childNodes))
      : node.textContent,
  );
}
