// `/ui/setup#token`: the link that a fresh daemon prints makes its first admin.
import { Link } from "@tanstack/react-router";
import { client } from "../api/client.ts";
import { Command } from "../ui/Copy.tsx";
import { Card } from "./Card.tsx";
import { useHashToken } from "./hash-token.ts";
import { NewAccount } from "./NewAccount.tsx";

export default function Setup() {
  const token = useHashToken();
  if (!token) {
    return (
      <Card title="The link is not whole">
        <div className="flex flex-col gap-3 text-muted">
          <p>
            The first admin is made with the link that the daemon printed when it started; it ends in
            #mrx_setup_…
          </p>
          <p>The link is good for 15 minutes: start the daemon again for a new one, or run on its machine</p>
          <Command text="mrx admin user add NAME --role admin" />
          <Link to="/sign-in" className="text-accent underline">
            Sign in
          </Link>
        </div>
      </Card>
    );
  }
  return (
    <Card title="Make the first admin">
      <p className="mb-4 text-muted">This account may do everything, and can invite others.</p>
      <NewAccount
        deed="Make the account"
        make={(account) => client.POST("/auth/setup", { body: { token, ...account } })}
      />
    </Card>
  );
}
