// Sign in, or learn how to get an account.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { reading } from "../api/read.ts";
import { Button } from "../ui/Button.tsx";
import { Command } from "../ui/Copy.tsx";
import { Field } from "../ui/Field.tsx";
import { Card, Refusal } from "./Card.tsx";
import { logIn } from "./session.ts";

export default function SignIn() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const { data: options } = useQuery(reading("/auth/options"));
  const { to } = useSearch({ from: "/sign-in" });
  const queries = useQueryClient();
  const router = useRouter();
  const login = useMutation({
    mutationFn: logIn,
    onSuccess() {
      queries.clear();
      router.history.push(ownPath(to));
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    login.mutate({ name, password });
  };
  return (
    <Card title="Sign in">
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
          type="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        <Refusal error={login.error} />
        <Button type="submit" look="primary" isBusy={login.isPending}>
          Sign in
        </Button>
      </form>
      {options?.needsSetup && (
        <div className="mt-5 flex flex-col gap-2 border-t border-line pt-4 text-muted">
          <p>
            There is no admin yet. Open the link that the daemon printed when it started, or make one on its
            machine:
          </p>
          <Command text="mrx admin user add NAME --role admin" />
        </div>
      )}
      {options && options.registration !== "off" && (
        <p className="mt-4 text-muted">
          No account?{" "}
          <Link to="/register" className="text-accent underline">
            Make one
          </Link>
        </p>
      )}
    </Card>
  );
}

/** A path of the dashboard, whatever the address bar was made to say: never another site. */
function ownPath(to: string | undefined): string {
  return to?.startsWith("/") && !/^\/[/\\]/.test(to) ? to : "/ui/projects";
}
