// `/ui/register#invitation`: an account for whoever has an invitation, or for everybody if the operator lets them.
import { Link } from "@tanstack/react-router";
import { client } from "../api/client.ts";
import { Card } from "./Card.tsx";
import { useHashToken } from "./hash-token.ts";
import { NewAccount } from "./NewAccount.tsx";

export default function Register() {
  const invite = useHashToken();
  return (
    <Card title="Make an account">
      <NewAccount
        deed="Make the account"
        make={(account) => client.POST("/auth/register", { body: { ...account, ...(invite && { invite }) } })}
      />
      <p className="mt-4 text-muted">
        Have one?{" "}
        <Link to="/sign-in" className="text-accent underline">
          Sign in
        </Link>
      </p>
    </Card>
  );
}
