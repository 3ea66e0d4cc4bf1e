// Accounts that an admin makes, and passwords that it resets: made up here, shown once.
import { useMutation } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { Refusal } from "../session/Card.tsx";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field, SelectField } from "../ui/Field.tsx";
import { ShownOnce } from "../ui/ShownOnce.tsx";
import { madeUpPassword } from "./password.ts";
import { ROLES } from "./roles.ts";

export function AddUser({ isDisabled }: { isDisabled: boolean }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <Button look="primary" disabled={isDisabled} onClick={() => setIsOpen(true)}>
        <Plus size={15} aria-hidden />
        Add a person
      </Button>
      <Dialog title="Add a person" isOpen={isOpen} onClose={() => setIsOpen(false)}>
        <Form onDone={() => setIsOpen(false)} />
      </Dialog>
    </>
  );
}

function Form({ onDone }: { onDone(): void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Schemas["Role"]>("developer");
  const add = useMutation({
    gcTime: 0,
    async mutationFn() {
      const password = madeUpPassword();
      const body = { name: name.trim(), role, password, ...(email.trim() && { email: email.trim() }) };
      await client.POST("/admin/users", { body });
      return password;
    },
  });
  if (add.data) return <Made name={name.trim()} password={add.data} onDone={onDone} />;
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        add.mutate();
      }}
    >
      <Field
        label="Name"
        hint="To sign in with; it is never given away again"
        required
        autoFocus
        spellCheck={false}
        autoComplete="off"
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Field
        label="Email"
        type="email"
        autoComplete="off"
        value={email}
        onChange={(event) => setEmail(event.target.value)}
      />
      <SelectField
        label="Role"
        options={ROLES}
        value={role}
        onChange={(event) => setRole(event.target.value as Schemas["Role"])}
      />
      <Refusal error={add.error} />
      <Button type="submit" look="primary" className="self-end" isBusy={add.isPending}>
        Make the account
      </Button>
    </form>
  );
}

export function ResetPassword({ name, onDone }: { name: string; onDone(): void }) {
  const reset = useMutation({
    gcTime: 0,
    async mutationFn() {
      const password = madeUpPassword();
      await client.POST("/admin/users/{name}/password", { params: { path: { name } }, body: { password } });
      return password;
    },
  });
  if (reset.data) return <Made name={name} password={reset.data} onDone={onDone} />;
  return (
    <div className="flex flex-col gap-4">
      <p className="text-muted">
        A new password is made up and shown once. All sessions of {name} end; API keys stay good.
      </p>
      <Refusal error={reset.error} />
      <div className="flex justify-end gap-2">
        <Button onClick={onDone}>Keep the old one</Button>
        <Button look="danger" isBusy={reset.isPending} onClick={() => reset.mutate()}>
          Reset it
        </Button>
      </div>
    </div>
  );
}

function Made({ name, password, onDone }: { name: string; password: string; onDone(): void }) {
  return (
    <div className="flex flex-col gap-4">
      <ShownOnce text={password}>
        This is the password of {name}. Hand it over now: it is not shown again, and can be changed under “API
        keys”.
      </ShownOnce>
      <Button look="primary" className="self-end" onClick={onDone}>
        I have it
      </Button>
    </div>
  );
}
