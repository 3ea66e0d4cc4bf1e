// The chats of a project: search, and a new one.
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useMayWrite } from "../session/may-write.ts";
import { Button, buttonClass } from "../ui/Button.tsx";
import { inputClass } from "../ui/Field.tsx";
import { PageHead } from "../ui/Page.tsx";
import { ChatList } from "./ChatList.tsx";

export default function ChatsPage() {
  const { id } = useParams({ from: "/shell/projects/$id/chats" });
  const { q = "" } = useSearch({ from: "/shell/projects/$id/chats" });
  const navigate = useNavigate({ from: "/projects/$id/chats" });
  const { mayWrite } = useMayWrite(id);
  return (
    <>
      <PageHead title="Chats" of={id}>
        <input
          data-search
          type="search"
          aria-label="Search chats"
          placeholder="Search  /"
          className={`${inputClass} max-w-56`}
          value={q}
          onChange={(event) =>
            void navigate({
              search: (now) => ({ ...now, q: event.target.value || undefined }),
              replace: true,
            })
          }
        />
        {mayWrite ? (
          <Link to="/projects/$id/chats/new" params={{ id }} className={buttonClass("primary")}>
            <Plus size={15} aria-hidden />
            New chat
          </Link>
        ) : (
          <Button look="primary" disabled>
            <Plus size={15} aria-hidden />
            New chat
          </Button>
        )}
      </PageHead>
      <ChatList id={id} q={q} />
    </>
  );
}
