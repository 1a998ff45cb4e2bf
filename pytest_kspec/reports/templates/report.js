"use strict";
// Filters, sorting, expand and collapse. The page is complete without this script.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const form = document.getElementById("filters");
  const query = document.getElementById("q");
  const select = document.getElementById("cluster");
  const shown = document.getElementById("shown");
  const empty = document.getElementById("empty");
  const clusters = all("details.cluster");
  const entries = all("details.check").map((element) => ({
    element,
    verdict: element.dataset.v,
    severity: element.dataset.s,
    exempted: "x" in element.dataset,
    group: element.closest("details.group"),
    cluster: element.closest("details.cluster"),
    text: null,
  }));
  const first = new Map(all("details").map((element) => [element, element.open]));
  const MANY = 200;
  let filtered = false;

  const textOf = (entry) => {
    if (entry.text === null) {
      const name = entry.cluster.querySelector(".name").textContent;
      entry.text = `${name} ${entry.element.textContent}`.replace(/\s+/g, " ").toLowerCase();
    }
    return entry.text;
  };
  const checked = (name) => new Set(all(`input[name=${name}]:checked`, form).map((input) => input.value));

  function apply() {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = checked("v"), severities = checked("s"), exempted = checked("x").size > 0;
    const cluster = select ? select.value : "";
    const active = words.length + verdicts.size + severities.size > 0 || exempted || cluster !== "";
    const groups = new Map(), per = new Map();
    let count = 0;
    for (const entry of entries) {
      const match =
        (verdicts.size === 0 && !exempted || verdicts.has(entry.verdict) || exempted && entry.exempted) &&
        (severities.size === 0 || severities.has(entry.severity)) &&
        (cluster === "" || entry.cluster.id === cluster) &&
        words.every((word) => textOf(entry).includes(word));
      entry.element.hidden = !match;
      if (match) {
        count += 1;
        groups.set(entry.group, true);
        per.set(entry.cluster, true);
      }
    }
    for (const group of all("details.group")) {
      const aside = group.classList.contains("aside");
      group.hidden = active && (aside ? words.length + verdicts.size + severities.size > 0 || exempted : !groups.has(group));
      if (!aside && active && count <= MANY) group.open = groups.has(group);
    }
    for (const element of clusters) {
      element.hidden = active && !per.has(element);
      if (active && per.has(element) && (count <= MANY || cluster !== "")) element.open = true;
    }
    if (!active && filtered) first.forEach((open, element) => { element.open = open; });
    filtered = active;
    empty.hidden = count > 0;
    const total = entries.length.toLocaleString("en");
    shown.textContent = active ? `${count.toLocaleString("en")} of ${total} shown` : `${total} requirements`;
  }

  let timer = 0;
  query.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 120); });
  form.addEventListener("change", (event) => { if (event.target !== query) apply(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  form.addEventListener("reset", () => setTimeout(apply, 0));

  const setAll = (open) => {
    for (const element of all("details.cluster, details.group, details.check")) {
      if (!element.hidden) element.open = open || (clusters.length === 1 && element === clusters[0]);
    }
  };
  document.getElementById("expand").addEventListener("click", () => setAll(true));
  document.getElementById("collapse").addEventListener("click", () => setAll(false));

  // A link into a closed part opens it.
  function reveal() {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    if (!target || target.tagName !== "DETAILS") return;
    for (let element = target; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  }
  addEventListener("hashchange", reveal);

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

  // Paper shows everything.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((element) => { element.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((element) => { element.open = false; }));

  form.hidden = false;
  apply();
  if (location.hash) reveal();
})();
