// What a screen reader would stumble over.
() => {
  const bad = [], say = (e, why) => bad.push(why + ": " + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll("input, select")) if (!e.labels.length || !e.labels[0].textContent.trim()) say(e, "no label");
  for (const e of document.querySelectorAll("button, summary, a, legend, th")) if (!e.textContent.trim()) say(e, "no text");
  for (const e of document.querySelectorAll("svg")) if (e.getAttribute("aria-hidden") !== "true") say(e, "svg is read out");
  for (const e of document.querySelectorAll("th")) if (!e.scope) say(e, "no scope");
  for (const e of document.querySelectorAll("[aria-labelledby]")) if (!document.getElementById(e.getAttribute("aria-labelledby"))) say(e, "label is missing");
  for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) say(e, "tab order is bent");
  for (const e of document.querySelectorAll("details")) if (e.firstElementChild.tagName !== "SUMMARY") say(e, "no summary");
  let level = 0;
  for (const e of document.querySelectorAll("h1, h2, h3, [role=heading]")) {
    const now = Number(e.getAttribute("aria-level") || e.tagName[1]); if (now > level + 1) say(e, "heading skips a level"); level = now; }
  if (document.querySelectorAll("h1").length !== 1 || document.querySelectorAll("main").length !== 1 || !document.documentElement.lang) bad.push("page");
  return bad;
}
