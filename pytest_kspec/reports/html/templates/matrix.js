// Every control of a framework on every cluster: one letter a cell in the data, a symbol and a word here.
const Matrix = (data, { el }, checks) => {
  const STATUS = {
    m: ["met", "✓", "met"], p: ["partlyMet", "◐", "partially met"], n: ["notMet", "✕", "not met"],
    e: ["notEvaluated", "?", "not evaluated"], h: ["manual", "○", "manual review"], ".": ["absent", "", "not asked"],
  };
  const WORST = ["fail", "error", "skip", "pass"];
  const names = new Map(data.clusters.map((cluster) => [cluster.id, data.texts[cluster.name]]));
  const link = (anchor, ...children) => {
    const element = el("a", "", ...children);
    element.setAttribute("href", "#" + encodeURIComponent(anchor));
    return element;
  };

  // The check of this control on this cluster that matters most, or none.
  function worst(cluster, ids) {
    const there = ids.map((id) => checks.get(`${cluster}/${id}`)).filter(Boolean);
    return there.sort((a, b) => WORST.indexOf(a.verdict) - WORST.indexOf(b.verdict))[0];
  }

  function cell(letter, cluster, ids) {
    const [name, symbol, word] = STATUS[letter];
    const content = el("span", "symbol", symbol);
    content.setAttribute("role", "img");
    content.setAttribute("aria-label", word);
    const answer = letter === "h" || letter === "." ? null : worst(cluster, ids);
    return el("td", `cell ${name}`, answer ? link(answer.id, content) : content);
  }

  function heading(scope, ...children) {
    const head = el("th", "", ...children);
    head.scope = scope;
    return head;
  }

  return function draw(details) {
    if (details.querySelector("table")) return;
    const framework = data.frameworks.find((one) => one.id === details.dataset.framework);
    const title = details.closest(".framework").querySelector(".name").textContent;
    const head = el("tr", "", heading("col", "Control"), ...framework.columns.map((id) => heading("col", link(id, names.get(id)))));
    const rows = framework.rows.map(([control, name, letters, ids]) =>
      el("tr", "", heading("row", el("span", "control-id", control), el("span", "sr", ` ${name}`)), ...framework.columns.map((id, column) => cell(letters[column], id, ids))));
    rows.forEach((row, index) => { row.firstChild.title = framework.rows[index][1]; });
    const legend = el("p", "note", "Symbols: ✓ met, ◐ met in part, ✕ not met, ? not evaluated, ○ for a person to look at; an empty cell is not asked for. A symbol leads to the requirement that matters most.");
    const table = el("table", "cells", el("caption", "sr", `${title}: every control on every cluster`), el("thead", "", head), el("tbody", "", ...rows));
    const box = el("div", "scroll wide", table);
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `${title}: every control on every cluster`);
    details.append(legend, box);
  };
};
