// Text that is too faint: (text, ratio) of every visible text node under 4.5:1, or 3:1 where it is large.
() => {
  const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (e) => { const stack = []; for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    stack.push(c); if (c[3] === 1) break; } return stack.reverse().reduce((below, c) => over(c, below), [255, 255, 255, 1]); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = []; let seen = 0;
  for (let node; (node = walker.nextNode());) {
    const e = node.parentElement, text = node.data.trim();
    if (!text || !e.checkVisibility() || ["SCRIPT", "STYLE", "OPTION"].includes(e.tagName) || e.closest(".sr")) continue;
    const style = getComputedStyle(e), below = ground(e), ink = over(parse(style.color), below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
    seen += 1; if (ratio < (large ? 3 : 4.5)) faint.push([text.slice(0, 40), e.className, ratio]);
  }
  return { seen, faint };
}
