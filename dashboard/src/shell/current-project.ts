// The project that is shown, or was last, so that the sidebar and `g j` lead somewhere from every page.
import { useParams } from "@tanstack/react-router";
import { useEffect } from "react";

const KEY = "mrx.project";

export function useCurrentProject(): string | null {
  const { id } = useParams({ strict: false });
  useEffect(() => {
    if (id) sessionStorage.setItem(KEY, id);
  }, [id]);
  return id ?? sessionStorage.getItem(KEY);
}
