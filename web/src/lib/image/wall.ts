// The wall of images: its filters and pages in the address, and the question that is asked for them.

export const PAGE = 120;
const FILTERS = ["label", "predicted", "correct", "search"] as const;

export const filtersOf = (options: Record<string, string>): Record<string, string> =>
  Object.fromEntries(FILTERS.flatMap((name) => (options[name]?.trim() ? [[name, options[name].trim()]] : [])));

export const pageOf = (text: string | undefined): number => (/^[1-9]\d{0,5}$/.test(text ?? "") ? Number(text) : 1);

export const pagesOf = (total: number): number => Math.max(1, Math.ceil(total / PAGE));

// The first and the last image of a page; null beyond the last one.
export function spanOf(page: number, total: number): [first: number, last: number] | null {
  return page <= pagesOf(total) && total ? [(page - 1) * PAGE + 1, Math.min(page * PAGE, total)] : null;
}

export function queryOf(options: Record<string, string>): URLSearchParams {
  const offset = (pageOf(options["page"]) - 1) * PAGE;
  return new URLSearchParams({ offset: String(offset), count: String(PAGE), ...filtersOf(options) });
}
