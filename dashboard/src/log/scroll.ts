// Where a row is on a scrolled surface that may not be as high as all rows are: browsers end at some 30 million pixels.

/** Above this height the middle of the surface is compressed; its ends stay as they are, so that they scroll as usual. */
export const SURFACE_PX_MAX = 8_000_000;
const EDGE_PX = 1_000_000;

export const surfaceHeight = (total: number): number => Math.min(total, SURFACE_PX_MAX);

/** From pixels of all rows to pixels of the surface. */
export function toSurface(px: number, total: number): number {
  if (total <= SURFACE_PX_MAX || px <= EDGE_PX) return px;
  if (px >= total - EDGE_PX) return SURFACE_PX_MAX - (total - px);
  return EDGE_PX + ((px - EDGE_PX) * (SURFACE_PX_MAX - 2 * EDGE_PX)) / (total - 2 * EDGE_PX);
}

/** And back. */
export function fromSurface(px: number, total: number): number {
  if (total <= SURFACE_PX_MAX || px <= EDGE_PX) return px;
  if (px >= SURFACE_PX_MAX - EDGE_PX) return total - (SURFACE_PX_MAX - px);
  return EDGE_PX + ((px - EDGE_PX) * (total - 2 * EDGE_PX)) / (SURFACE_PX_MAX - 2 * EDGE_PX);
}
