// Markdown as elements: HTML in it stays text, pictures from elsewhere are links, code is coloured in known languages.
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { CopyButton } from "../Copy.tsx";
import { highlighted } from "./highlight.ts";
import "./markdown.css";

const components: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noreferrer noopener">
      {children}
    </a>
  ),
  img: ({ src, alt }) => (
    <a href={typeof src === "string" ? src : undefined} target="_blank" rel="noreferrer noopener">
      {alt || "picture"}
    </a>
  ),
  pre: ({ children }) => <>{children}</>,
  code: ({ className, children }) => {
    const text = String(children ?? "");
    const language = /language-(\S+)/.exec(className ?? "")?.[1];
    if (!language && !text.includes("\n")) return <code className="inline-code">{text}</code>;
    return (
      <div className="code-block">
        <CopyButton text={text} label="Copy the code" />
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: long lines are scrolled by keyboard */}
        <pre tabIndex={0}>
          <code>{highlighted(text.replace(/\n$/, ""), language)}</code>
        </pre>
      </div>
    );
  },
};

export default function Rendered({ text }: { text: string }) {
  return (
    <div className="markdown">
      <ReactMarkdown remarkPlugins={[remarkGfm]} components={components}>
        {text}
      </ReactMarkdown>
    </div>
  );
}
