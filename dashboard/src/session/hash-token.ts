// A one-time token behind the `#` of a link: servers never see it, and it leaves the address bar at once.
import { useEffect, useState } from "react";

export function useHashToken(): string | null {
  const [token] = useState(() => decodeURIComponent(location.hash.slice(1)) || null);
  useEffect(() => {
    if (token) history.replaceState(history.state, "", location.pathname + location.search);
  }, [token]);
  return token;
}
