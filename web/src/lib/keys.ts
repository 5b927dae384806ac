// One key for an action. A view says what its keys do while it is shown; "?" lists them.

export interface Key {
  keys: string[]; // as KeyboardEvent.key names them
  shown: string; // as people read them
  does: string;
  act: (event: KeyboardEvent) => void;
}

const groups = new Map<symbol, Key[]>();

// Adds keys; what it gives takes them away again (an $effect can return it). Later ones come before earlier ones.
export function listen(keys: Key[]): () => void {
  const group = Symbol("keys");
  groups.set(group, keys);
  return () => groups.delete(group);
}

export const listed = (): Key[] => [...groups.values()].flat();

export function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]") && event.key !== "?") return;
  if ((event.key === "Enter" || event.key === " ") && takesEnter(event.target)) return;
  const found = listed().reverse().find(({ keys }) => keys.includes(event.key));
  if (!found) return;
  event.preventDefault();
  found.act(event);
}

// Links and buttons that have the focus act themselves.
const takesEnter = (target: EventTarget | null): boolean => target instanceof Element && target.closest("a, button, summary, input, [role=button]") !== null;

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) &&
  !(target instanceof HTMLInputElement && /^(range|checkbox|radio|button)$/.test(target.type));
