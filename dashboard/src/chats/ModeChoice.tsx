// Which kind of model answers a chat.
import type { Schemas } from "../api/read.ts";
import { Choice } from "../ui/Field.tsx";

const MODES = [
  { value: "custom", text: "Own model" },
  { value: "openai", text: "OpenAI" },
] as const satisfies { value: Schemas["LlmMode"]; text: string }[];

export function ModeChoice({ value, isDisabled, onChange }: ModeProps) {
  return (
    <Choice
      label="Which model answers"
      options={MODES}
      disabled={isDisabled}
      value={value}
      onChange={(event) => onChange(event.target.value as Schemas["LlmMode"])}
    />
  );
}

interface ModeProps {
  value: Schemas["LlmMode"];
  isDisabled: boolean;
  onChange(mode: Schemas["LlmMode"]): void;
}
