// Findings from the page's data, in the markup that the page itself has for the first of them.
const Findings = (data) => {
  const FIELDS = 10, STATUS = 0, OWNER = 1, RESOURCE = 2, PATH = 3, FOUND = 4, EXPECTED = 5, MESSAGE = 6, COUNT = 7, EXEMPTION = 8, FIX = 9;
  const OPEN = data.statuses.indexOf("open"), KNOWN = data.statuses.indexOf("known");
  const text = (number) => data.texts[number];
  const number = (count) => count.toLocaleString("en");

  function el(tag, name, ...children) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...children);
    return element;
  }

  function icon(name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg"), use = document.createElementNS(space, "use");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    use.setAttribute("href", `#i-${name}`);
    svg.append(use);
    return svg;
  }

  const badge = (name, word) => el("span", `badge ${name}`, icon(name), word);
  const times = (count) => el("span", "count", `×${number(count)}`, el("span", "sr", " objects"));

  function breakable(path) {
    return path.split(".").flatMap((part, index, all) => (index < all.length - 1 ? [`${part}.`, document.createElement("wbr")] : [part]));
  }

  function finding(flat, at, most) {
    const item = el("li", "finding");
    if (flat[at + RESOURCE] >= 0) item.append(el("p", "object", "in ", el("b", "", text(flat[at + RESOURCE]))));
    if (flat[at + PATH] >= 0) item.append(el("code", "path", ...breakable(text(flat[at + PATH]))));
    const message = el("p", "message", text(flat[at + MESSAGE]));
    if (flat[at + COUNT] !== most) message.append(" ", times(flat[at + COUNT]));
    item.append(message);
    if (flat[at + FOUND] >= 0) {
      const pair = (term, value) => el("div", "", el("dt", "", term), el("dd", "", el("code", "", text(value))));
      const change = el("dl", "change", pair("Found", flat[at + FOUND]));
      if (flat[at + EXPECTED] >= 0) change.append(pair("Expected", flat[at + EXPECTED]));
      item.append(change);
    }
    if (flat[at + FIX] >= 0) {
      const patch = text(flat[at + FIX]), block = el("pre", "", el("code", "", patch));
      block.tabIndex = 0;
      item.append(el("details", "patch", el("summary", "", "kind" in Object(JSON.parse(patch)) ? "A new object that removes it" : "A patch that removes it"), block));
    }
    return item;
  }

  // Neighbours with the same key.
  function runs(places, key) {
    const found = [];
    for (const at of places) {
      if (found.length && key(found.at(-1)[0]) === key(at)) found.at(-1).push(at);
      else found.push([at]);
    }
    return found;
  }

  function owned(flat, places) {
    return runs(places, (at) => flat[at + OWNER]).map((group) => {
      const [kind, name] = data.owners[flat[group[0] + OWNER]].map(text);
      const most = group.reduce((max, at) => Math.max(max, flat[at + COUNT]), 0);
      const head = el("p", "owner-name", el("span", "kind", kind), " ", el("b", "", name));
      if (most > 1) head.append(" ", times(most));
      return el("div", "owner", head, el("ul", "", ...group.map((at) => finding(flat, at, most))));
    });
  }

  function exempted(flat, places) {
    return runs(places, (at) => flat[at + EXEMPTION]).flatMap((group) => {
      const [name, reason, who, anchor] = data.exemptions[flat[group[0] + EXEMPTION]].map(text);
      let title = name;
      if (anchor) {
        title = el("a", "", name);
        title.setAttribute("href", "#" + encodeURIComponent(anchor).replace(/%2F/g, "/"));
      }
      return [
        el("p", "why", badge("exempt", "Exempted"), " ", el("b", "", title), `: ${reason} `, el("span", "who", who)),
        ...owned(flat, group),
      ];
    });
  }

  // places: where in `flat` the findings begin that are to be drawn.
  function draw(flat, places) {
    return runs(places, (at) => flat[at + STATUS]).flatMap((group) => {
      const status = flat[group[0] + STATUS];
      if (status === OPEN) return owned(flat, group);
      if (status === KNOWN) return [el("div", "known", el("p", "why", badge("skip", "Known"), " In the baseline: shown, but does not cause a failure."), ...owned(flat, group))];
      return [el("div", "exempted", ...exempted(flat, group))];
    });
  }

  // Every text that a search looks at, without patches: numbers into data.texts.
  function* words(flat, at) {
    yield* data.owners[flat[at + OWNER]];
    for (const field of [RESOURCE, PATH, FOUND, EXPECTED, MESSAGE]) if (flat[at + field] >= 0) yield flat[at + field];
    if (flat[at + EXEMPTION] >= 0) yield* data.exemptions[flat[at + EXEMPTION]].slice(0, 3);
  }

  return { FIELDS, el, icon, draw, words, number };
};
