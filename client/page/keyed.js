/** Views that come, change and go with the items that they show. */

/** One view for each item, made, updated and forgotten with it. @returns their elements */
export function sync(views, items, key, make, update, forget = () => {}) {
  const kept = new Set(items.map(key));
  for (const [id, view] of views) if (!kept.has(id)) forget(view), view.element.remove(), views.delete(id);
  return items.map((item) => {
    const id = key(item);
    if (!views.has(id)) views.set(id, make());
    update(views.get(id), item);
    return views.get(id).element;
  });
}

/** Put the children in order, and move none that stands right: moving loses focus and selection. */
export function arrange(parent, children) {
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}
