// Files that go along with a message: each is uploaded as an artifact of the project, and the message names its id.
import { useCallback, useState } from "react";
import { client } from "../api/client.ts";
import type { Schemas } from "../api/read.ts";
import { requestKey } from "../api/request-key.ts";

export interface Attachment {
  key: string;
  name: string;
  artifact?: Schemas["Artifact"];
  error?: Error;
}

export function useAttachments(id: string) {
  const [files, setFiles] = useState<readonly Attachment[]>([]);
  const change = useCallback((key: string, news: Partial<Attachment>) => {
    setFiles((all) => all.map((one) => (one.key === key ? { ...one, ...news } : one)));
  }, []);
  const add = useCallback(
    (chosen: Iterable<File>) => {
      for (const file of chosen) {
        const key = requestKey();
        setFiles((all) => [...all, { key, name: file.name }]);
        upload(id, file)
          .then((artifact) => change(key, { artifact }))
          .catch((error: Error) => change(key, { error }));
      }
    },
    [id, change],
  );
  const remove = useCallback((key: string) => setFiles((all) => all.filter((one) => one.key !== key)), []);
  const clear = useCallback(() => setFiles([]), []);
  return { files, add, remove, clear };
}

async function upload(id: string, file: File): Promise<Schemas["Artifact"]> {
  const { data } = await client.POST("/projects/{id}/artifacts", {
    params: { path: { id }, query: { name: file.name } },
    headers: { "Content-Type": "application/octet-stream" },
    // The document describes the bytes as a list of numbers; they are sent as they are.
    body: file as never,
    bodySerializer: (body: unknown) => body as Blob,
  });
  return data as Schemas["Artifact"];
}
