// The other chats, beside a conversation where there is room.
import { ChatList } from "./ChatList.tsx";

export function ChatRail({ id }: { id: string }) {
  return (
    <aside
      aria-label="Chats of the project"
      className="hidden w-64 shrink-0 flex-col border-r border-line bg-panel xl:flex"
    >
      <ChatList id={id} q="" isNarrow />
    </aside>
  );
}
