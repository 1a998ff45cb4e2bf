// Search, filters, sorting, links into closed parts, and the findings that are in the page's data only.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const form = document.getElementById("filters");
  const query = document.getElementById("q");
  const select = document.getElementById("cluster");
  const shown = document.getElementById("shown");
  const empty = document.getElementById("empty");
  const data = JSON.parse(document.getElementById("data").textContent);
  const findings = Findings(data);
  const { el, FIELDS, number } = findings;
  const MANY = 200, AT_ONCE = 10, PAGE = 100;

  const clusters = data.clusters.map((cluster) => ({ ...cluster, element: document.getElementById(cluster.id) }));
  const byElement = new Map(clusters.map((cluster) => [cluster.element, cluster]));
  const entries = clusters.flatMap((cluster) => {
    cluster.entries = cluster.checks.map(([id, verdict, severity, texts, flat]) => ({
      id: `${cluster.id}/${id}`,
      cluster, texts, flat,
      verdict: data.verdicts[verdict],
      severity: data.severities[severity],
      exempted: flat.some((value, at) => at % FIELDS === 0 && data.statuses[value] === "exempt"),
      match: true,   // by the filters
      only: null,    // where in `flat` the findings begin that the search is for; null: all
      limit: PAGE,
      element: null, // once its cluster is in the page
      markup: null,  // what the page itself has of its findings, while others are drawn
    }));
    return cluster.entries;
  });
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const drawMatrix = Matrix(data, findings, byId);
  const first = new Map();
  let filtered = false;

  // What waits in the `noscript` of a long page becomes part of it when it is looked at.
  function unpack(element) {
    const waiting = element.querySelector(":scope > noscript");
    if (waiting) waiting.replaceWith(document.createRange().createContextualFragment(waiting.textContent));
    return waiting !== null;
  }

  function enter(cluster) {
    if (cluster.entered) return;
    cluster.entered = true;
    const waiting = unpack(cluster.element);
    for (const entry of cluster.entries) {
      entry.element = document.getElementById(entry.id);
      entry.element.hidden = !entry.match;
    }
    for (const element of [cluster.element, ...all("details:not(.patch)", cluster.element)]) {
      first.set(element, element === cluster.element && waiting ? false : element.open);
    }
    arrange(cluster);
  }

  function places(entry) {
    return entry.only || Array.from({ length: entry.flat.length / FIELDS }, (_, index) => index * FIELDS);
  }

  // What is open shows its findings: the page's own markup where that is all of them, else some of the data.
  function show(entry) {
    const box = entry.element.querySelector(".findings");
    if (!box) return;
    const own = entry.markup || [...box.childNodes];
    const complete = !own.some((node) => node.className === "left");
    if (complete && !entry.only) {
      if (entry.markup) box.replaceChildren(...entry.markup);
      entry.markup = null;
      return;
    }
    entry.markup = own;
    const wanted = places(entry), total = entry.flat.length / FIELDS;
    const drawn = findings.draw(entry.flat, wanted.slice(0, entry.limit));
    if (entry.only || wanted.length > entry.limit) {
      const some = Math.min(entry.limit, wanted.length);
      const say = entry.only
        ? `${number(wanted.length)} of ${number(total)} findings match the search${some < wanted.length ? `, ${number(some)} of them are shown` : ""}.`
        : `${number(some)} of ${number(total)} findings are shown.`;
      const more = (word, act) => {
        const button = el("button", "more-findings", word);
        button.type = "button";
        button.addEventListener("click", () => { act(); show(entry); focusLast(entry, some); });
        return button;
      };
      const line = el("p", "left", say, " ");
      if (some < wanted.length) line.append(more(`Show ${number(Math.min(PAGE, wanted.length - some))} more`, () => { entry.limit += PAGE; }), " ");
      if (entry.only) line.append(more("Show all of this requirement", () => { entry.only = null; entry.limit = Math.max(entry.limit, PAGE); }));
      drawn.push(line);
    }
    box.replaceChildren(...drawn);
  }

  // After "show more" the focus goes to the first finding that was not there.
  function focusLast(entry, before) {
    const items = all(".finding", entry.element);
    const item = items[Math.min(before, items.length - 1)];
    item.tabIndex = -1;
    item.focus();
  }

  // Texts in lower case, once, when they are first searched.
  let lower = null;
  function containing(word) {
    lower = lower || data.texts.map((text) => text.toLowerCase());
    return lower.map((text) => text.includes(word));
  }

  // Whether a requirement matches all words; sets which of its findings do, where not all.
  function search(entry, found, everywhere) {
    entry.only = null;
    entry.limit = PAGE;
    const rest = found.filter((has) => !has[entry.cluster.name] && !entry.texts.some((text) => has[text]));
    if (rest.length === 0) return true;
    if (rest.some((has) => !has.any)) return false;
    const only = [];
    for (let at = 0; at < entry.flat.length; at += FIELDS) {
      const texts = [...findings.words(entry.flat, at)];
      if (rest.every((has) => texts.some((text) => has[text]))) only.push(at);
    }
    entry.only = only.length < entry.flat.length / FIELDS ? only : null;
    everywhere.findings += only.length;
    return only.length > 0;
  }

  const checked = (name) => new Set(all(`input[name=${name}]:checked`, form).map((input) => input.value));
  let state = { active: false, words: [], aside: true, count: entries.length };

  function apply() {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = checked("v"), severities = checked("s"), exempted = checked("x").size > 0;
    const cluster = select ? select.value : "";
    const active = words.length + verdicts.size + severities.size > 0 || exempted || cluster !== "";
    const found = words.map(containing), everywhere = { findings: 0 };
    found.forEach((has) => { has.any = has.includes(true); });
    let count = 0;
    for (const one of clusters) one.matches = 0;
    for (const entry of entries) {
      entry.match =
        (verdicts.size === 0 && !exempted || verdicts.has(entry.verdict) || exempted && entry.exempted) &&
        (severities.size === 0 || severities.has(entry.severity)) &&
        (cluster === "" || entry.cluster.id === cluster) &&
        search(entry, found, everywhere);
      if (entry.match) {
        count += 1;
        entry.cluster.matches += 1;
      }
    }
    state = { active, count, aside: words.length + verdicts.size + severities.size > 0 || exempted };
    let opened = 0;
    for (const one of clusters) {
      one.element.hidden = active && one.matches === 0;
      if (active && one.matches && (count <= MANY || cluster !== "") && opened < AT_ONCE) {
        opened += 1;
        enter(one);
        one.element.open = true;
      }
      if (one.entered) arrange(one);
    }
    if (!active && filtered) first.forEach((open, element) => { element.open = open; });
    filtered = active;
    empty.hidden = count > 0;
    const total = number(entries.length);
    shown.textContent = !active ? `${total} requirements`
      : `${number(count)} of ${total} shown${everywhere.findings ? `, ${number(everywhere.findings)} finding${everywhere.findings === 1 ? "" : "s"} found` : ""}`;
    document.getElementById("printed").textContent = active ? `Filtered: ${number(count)} of ${total} requirements are shown.` : "";
  }

  // Hides and opens the parts of one cluster as the filters have it.
  function arrange(cluster) {
    const groups = new Set();
    for (const entry of cluster.entries) {
      entry.element.hidden = !entry.match;
      if (entry.match) groups.add(entry.element.parentElement);
      if (entry.element.open && (entry.markup || entry.only)) show(entry);
    }
    for (const group of all("details.group", cluster.element)) {
      const aside = group.classList.contains("aside");
      group.hidden = state.active && (aside ? state.aside : !groups.has(group));
      if (!aside && state.active && state.count <= MANY) group.open = groups.has(group);
    }
  }

  let timer = 0;
  query.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 120); });
  form.addEventListener("change", (event) => { if (event.target !== query) apply(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  form.addEventListener("reset", () => setTimeout(apply, 0));

  // Everything that is opened, by whatever, is completed here.
  function complete(element) {
    if (!element.open) return;
    if (element.matches(".cluster")) enter(byElement.get(element));
    else if (element.matches(".check")) show(byId.get(element.id));
    else if (element.matches(".framework")) unfold(element);
    else if (element.matches(".matrix")) drawMatrix(element);
    else if (element.matches(".patch") && !element.querySelector("button")) element.append(copy(element));
  }
  document.addEventListener("toggle", (event) => { if (event.target.matches("details")) complete(event.target); }, true);

  function unfold(framework) {
    unpack(framework);
    for (const element of all(".matrix", framework)) element.hidden = false;
  }

  function copy(patch) {
    const button = el("button", "copy", "Copy"), said = el("span", "said");
    const code = patch.querySelector("code");
    button.type = "button";
    said.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        said.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        said.textContent = "Selected: copy it with the keyboard";
      }
    });
    return el("p", "copying", button, " ", said);
  }

  function setAll(open) {
    const there = clusters.filter((cluster) => !cluster.element.hidden);
    there.forEach((cluster, index) => {
      const wanted = open && index < AT_ONCE;
      if (wanted) enter(cluster);
      cluster.element.open = wanted || clusters.length === 1;
      if (cluster.entered) for (const element of all("details.group, details.check", cluster.element)) if (!element.hidden) element.open = wanted;
    });
    if (open && there.length > AT_ONCE) shown.textContent = `The first ${AT_ONCE} of ${number(there.length)} clusters are expanded`;
  }
  document.getElementById("expand").addEventListener("click", () => setAll(true));
  document.getElementById("collapse").addEventListener("click", () => setAll(false));

  // A link into a closed part opens it, and clears filters that hide it.
  function reveal() {
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(1)); } catch { return; }
    const owner = clusters.find((cluster) => id === cluster.id || id.startsWith(`${cluster.id}/`));
    if (owner) enter(owner);
    for (const framework of all("details.framework")) if (id.startsWith(`${framework.id}/`)) unfold(framework);
    const target = document.getElementById(id);
    if (!target) return;
    if (filtered && target.closest("[hidden]")) { form.reset(); apply(); }
    for (let element = target; element; element = element.parentElement) {
      if (element.tagName === "DETAILS") { element.open = true; complete(element); }
    }
    const focus = target.tagName === "DETAILS" ? target.querySelector("summary") : target;
    if (focus === target && !target.matches("a, button, input, [tabindex]")) target.tabIndex = -1;
    target.scrollIntoView();
    focus.focus({ preventScroll: true });
  }
  addEventListener("hashchange", reveal);
  // The same link again is no change of the address.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) reveal();
  });

  for (const table of all("table.sortable")) {
    const body = table.tBodies[0];
    all("thead th", table).forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort"), numeric = column > 0;
        const up = now === "descending" || (now === null && !numeric);
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.n;
        const rows = [...body.rows].sort((a, b) => numeric ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b), "en"));
        body.append(...(up ? rows : rows.reverse()));
      });
    });
  }

  all("details.framework[open]").forEach(unfold);
  document.documentElement.classList.add("scripted");
  form.hidden = false;
  for (const cluster of clusters) if (!cluster.element.querySelector(":scope > noscript") || cluster.element.open) enter(cluster);
  apply();
  if (location.hash) reveal();
})();
