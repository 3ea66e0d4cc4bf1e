// The other chats, beside a conversation where there is room.
import { Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useMayWrite } from "../session/may-write.ts";
import { buttonClass } from "../ui/Button.tsx";
import { ChatList } from "./ChatList.tsx";

export function ChatRail({ id }: { id: string }) {
  const { mayWrite } = useMayWrite(id);
  return (
    <aside
      aria-label="Chats of the project"
      className="hidden w-64 shrink-0 flex-col border-r border-line bg-panel xl:flex"
    >
      <div className="flex min-h-13.25 items-center gap-2 border-b border-line py-2.5 pr-2.5 pl-4">
        <Link to="/projects/$id/chats" params={{ id }} className="mr-auto font-medium hover:underline">
          All chats
        </Link>
        {mayWrite && (
          <Link to="/projects/$id/chats/new" params={{ id }} className={buttonClass()}>
            <Plus size={14} aria-hidden />
            New
          </Link>
        )}
      </div>
      <ChatList id={id} q="" isNarrow />
    </aside>
  );
}
