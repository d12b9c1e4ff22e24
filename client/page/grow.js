/** Elements that follow a plan, and of which only what differs is touched. */

const MATHML = "http://www.w3.org/1998/Math/MathML";
const TAGS = new Set([
  "a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
  "input", "li", "ol", "p", "span", "strong", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
]);
const FORMULAS = new Set([
  "math", "menclose", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom",
  "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup",
  "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "none",
]);
const ATTRIBUTES = new Set([
  "align", "checked", "class", "colspan", "dir", "disabled", "href", "rel", "role", "start", "tabindex", "target", "title", "type",
  "accent", "accentunder", "columnalign", "columnlines", "columnspan", "depth", "display", "displaystyle", "fence",
  "form", "height", "largeop", "linethickness", "lspace", "mathcolor", "mathvariant", "maxsize", "minsize",
  "movablelimits", "notation", "rowspan", "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "voffset", "width",
]);
const ADDRESS = /^(?:https?:\/\/|mailto:)/i;

/**
 * The only way by which what a model wrote becomes an element: by a name and by attributes
 * that are listed here, and never by HTML.
 * @param {string} tag @param {Record<string, string>} [attributes]
 * @returns {Element} throws an Error for a tag that is not listed
 */
export function element(tag, attributes = {}) {
  const formula = FORMULAS.has(tag);
  if (!formula && !TAGS.has(tag)) throw new Error(`An answer has no <${tag}>.`);
  const made = formula ? document.createElementNS(MATHML, tag) : document.createElement(tag);
  set(made, attributes);
  return made;
}

function set(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const allowed = ATTRIBUTES.has(name) || name.startsWith("aria-");
    if (!allowed || (name === "href" && !ADDRESS.test(value))) continue;
    if (made.getAttribute(name) !== value) made.setAttribute(name, value);
  }
}

/**
 * What an element shall have in it: texts, elements, and views that draw themselves.
 * @typedef {string | {tag: string, attributes?: Record<string, string>, children?: () => Plan[], same?: object, weight?: number}
 *   | {view: new () => {element: Element, update(plan: Plan): void}}} Plan
 *   `same`: two plans with the same one are alike, and nothing of them is looked at
 * @typedef {{plan: Plan, node: Node, view?: object, kept: Kept[]}} Kept
 */

/**
 * Give an element the children of the plans. What is there already stays the same node, and
 * a text that grew is appended to.
 * @param {Element} parent @param {Kept[]} kept  what the last call left here; it is changed
 * @param {Plan[]} plans
 */
export function grow(parent, kept, plans) {
  for (const { node } of kept.splice(plans.length)) node.remove();
  plans.forEach((plan, index) => {
    const old = kept[index];
    if (old?.plan === plan) return;
    if (old && fits(old.plan, plan)) return update(old, plan);
    kept[index] = begin(plan);
    if (old) old.node.replaceWith(kept[index].node);
    else parent.append(kept[index].node);
  });
}

/**
 * A few plans in each element, as a browser visits every child of an element for each frame. A group of the same
 * plans is the same one as before.
 * @param {Plan[]} plans
 * @param {number} most  that a group weighs before the next one begins: as much as there is in its groups, else 1 a plan
 * @param {WeakMap<Plan, Plan>} known  the groups by their first plans; it is changed
 * @param {(at: number, behind: number) => Plan} made  a group without its children; so many are behind it
 * @returns {Plan[]}
 */
export function grouped(plans, most, known, made) {
  const groups = [];
  for (const plan of plans) {
    if (!groups.length || groups.at(-1).weight >= most) groups.push({ some: [], weight: 0 });
    groups.at(-1).some.push(plan);
    groups.at(-1).weight += plan.weight ?? 1;
  }
  return groups.map(({ some, weight }, at) => {
    const group = { ...made(at, groups.length - 1 - at), weight, children: () => some };
    if (typeof some[0] === "string") return group;
    const old = known.get(some[0]);
    if (old && alike(old.attributes, group.attributes) && same(old.children(), some)) return old;
    known.set(some[0], group);
    return group;
  });
}

const same = (some, others) => some.length === others.length && some.every((one, at) => one === others[at]);
const alike = (some = {}, others = {}) => Object.entries(others).every(([name, value]) => some[name] === value);

function fits(old, plan) {
  if (typeof plan === "string") return typeof old === "string";
  return typeof old !== "string" && old.tag === plan.tag && old.view === plan.view;
}

function begin(plan) {
  if (typeof plan === "string") return { plan, node: document.createTextNode(plan), kept: [] };
  const view = plan.view && new plan.view();
  const made = { plan, node: view?.element ?? element(plan.tag, plan.attributes), view, kept: [] };
  if (view) view.update(plan);
  else grow(made.node, made.kept, plan.children?.() ?? []);
  return made;
}

function update(old, plan) {
  const before = old.plan;
  old.plan = plan;
  if (typeof plan === "string") {
    if (plan.startsWith(before)) old.node.appendData(plan.slice(before.length));
    else old.node.data = plan;
    return;
  }
  if (plan.same && plan.same === before.same) return;
  if (old.view) return old.view.update(plan);
  for (const name of Object.keys(before.attributes ?? {})) {
    if (!(name in (plan.attributes ?? {}))) old.node.removeAttribute(name);
  }
  set(old.node, plan.attributes ?? {});
  grow(old.node, old.kept, plan.children?.() ?? []);
}
