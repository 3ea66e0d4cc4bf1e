// The form for a name and a password, of the first admin and of whoever registers; signs in when the account is there.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { Button } from "../ui/Button.tsx";
import { Field } from "../ui/Field.tsx";
import { Refusal } from "./Card.tsx";
import { type Login, logIn } from "./session.ts";

/** The daemon refuses shorter ones. */
const PASSWORD_CHARACTERS_MIN = 12;

interface Props {
  deed: string;
  make(account: Login): Promise<unknown>;
}

export function NewAccount({ deed, make }: Props) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const queries = useQueryClient();
  const navigate = useNavigate();
  const mutation = useMutation({
    async mutationFn(account: Login) {
      if (account.password !== again) throw new Error("The two passwords are not the same.");
      await make(account);
      await logIn(account);
    },
    onSuccess() {
      queries.clear();
      void navigate({ to: "/projects" });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutation.mutate({ name, password });
  };
  const passwords = {
    type: "password",
    autoComplete: "new-password",
    required: true,
    minLength: PASSWORD_CHARACTERS_MIN,
  };
  return (
    <form className="flex flex-col gap-4" onSubmit={submit}>
      <Field
        label="Name"
        autoComplete="username"
        autoFocus
        required
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Field
        label="Password"
        hint={`At least ${PASSWORD_CHARACTERS_MIN} characters`}
        {...passwords}
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      <Field
        label="Password again"
        {...passwords}
        value={again}
        onChange={(event) => setAgain(event.target.value)}
      />
      <Refusal error={mutation.error} />
      <Button type="submit" look="primary" isBusy={mutation.isPending}>
        {deed}
      </Button>
    </form>
  );
}
