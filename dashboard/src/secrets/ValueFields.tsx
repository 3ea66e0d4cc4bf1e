// Where a secret's value is typed: dots of any number of lines; for a language model, its address, name and key.
import type { Schemas } from "../api/read.ts";
import { Field } from "../ui/Field.tsx";
import { TextArea } from "../ui/TextArea.tsx";

export interface SecretValue {
  text: string;
  baseUrl: string;
  model: string;
  apiKey: string;
}

export const EMPTY_VALUE: SecretValue = { text: "", baseUrl: "", model: "", apiKey: "" };

/** What is stored: `llm` is read by agents as JSON (docs/chats.md). */
export function textOf(kind: Schemas["SecretKind"], value: SecretValue): string {
  if (kind !== "llm") return value.text;
  const { baseUrl, model, apiKey } = value;
  return JSON.stringify({
    ...(baseUrl.trim() && { baseUrl: baseUrl.trim() }),
    model: model.trim(),
    ...(apiKey && { apiKey }),
  });
}

interface Props {
  kind: Schemas["SecretKind"];
  label: string;
  value: SecretValue;
  onChange(value: SecretValue): void;
}

export function ValueFields({ kind, label, value, onChange }: Props) {
  const bind = (name: keyof SecretValue) => ({
    value: value[name],
    onChange: (event: { target: { value: string } }) => onChange({ ...value, [name]: event.target.value }),
  });
  if (kind !== "llm") {
    return (
      <TextArea
        label={label}
        hint="6 characters to 64 KiB of text, also of several lines"
        isSecret
        required
        rows={4}
        {...bind("text")}
      />
    );
  }
  return (
    <>
      <Field
        label="Address of the model's server"
        hint="Compatible with OpenAI's API; api.openai.com if empty and the chat says OpenAI"
        type="url"
        placeholder="http://127.0.0.1:4000/v1"
        {...bind("baseUrl")}
      />
      <Field label="Model" required placeholder="qwen2.5-coder" spellCheck={false} {...bind("model")} />
      <Field
        label="Its API key"
        hint="If the server wants one"
        type="password"
        autoComplete="new-password"
        {...bind("apiKey")}
      />
    </>
  );
}
