// Changes one's own password.
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client } from "../api/client.ts";
import { Refusal } from "../session/Card.tsx";
import { logIn, useSession } from "../session/session.ts";
import { Button } from "../ui/Button.tsx";
import { Field } from "../ui/Field.tsx";
import { Section } from "../ui/Section.tsx";
import { useToast } from "../ui/Toast.tsx";
import { PASSWORD_CHARACTERS_MIN } from "./password.ts";

export function OwnPassword({ isNow }: { isNow: boolean }) {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const me = useSession();
  const toast = useToast();
  const change = useMutation({
    gcTime: 0,
    async mutationFn() {
      await client.POST("/auth/password", { body: { current, next } });
      // All sessions have ended, this one too.
      await logIn({ name: me.name, password: next });
    },
    onSuccess() {
      setCurrent("");
      setNext("");
      toast({ tone: "good", text: "Your password is changed, and your other sessions have ended." });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <Section title="Password">
      <form className="grid gap-4 p-4 sm:grid-cols-2" onSubmit={submit}>
        <Field
          label="Present password"
          type="password"
          autoComplete="current-password"
          required
          disabled={!isNow}
          value={current}
          onChange={(event) => setCurrent(event.target.value)}
        />
        <Field
          label="New password"
          hint={`At least ${PASSWORD_CHARACTERS_MIN} characters`}
          type="password"
          autoComplete="new-password"
          minLength={PASSWORD_CHARACTERS_MIN}
          required
          disabled={!isNow}
          value={next}
          onChange={(event) => setNext(event.target.value)}
        />
        <div className="flex flex-col gap-3 sm:col-span-2">
          <Refusal error={change.error} />
          <Button type="submit" className="self-end" disabled={!isNow} isBusy={change.isPending}>
            Change the password
          </Button>
        </div>
      </form>
    </Section>
  );
}
