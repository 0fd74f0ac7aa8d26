// What an accessibility checker looks for first: names, roles, ids, headings, focus, and the contrast of every text that
// is seen (WCAG 2.1 AA). Gives a list of what is wrong.
(() => {
  const wrong = [];
  const seen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const where = (element) => `${element.tagName.toLowerCase()}#${element.id}.${element.getAttribute("class") ?? ""} "${element.textContent.slice(0, 40)}"`;
  const named = (element) => element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") || element.labels?.length > 0 || element.textContent.trim();

  if (!document.documentElement.lang) wrong.push("no language");
  if (!document.title) wrong.push("no title");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) wrong.push(`two of id ${id}`);
  for (const element of document.querySelectorAll("[aria-labelledby], [aria-activedescendant]")) {
    const id = element.getAttribute("aria-labelledby") ?? element.getAttribute("aria-activedescendant");
    if (!document.getElementById(id) && !element.hidden) wrong.push(`${where(element)} points at ${id}`);
  }
  for (const element of document.querySelectorAll("button, input, select, a, [tabindex='0'], [role=button], [role=listbox], nav, aside, dialog")) {
    if (!named(element)) wrong.push(`no name: ${where(element)}`);
  }
  for (const list of document.querySelectorAll("[role=listbox]")) {
    for (const option of list.querySelectorAll(".row")) {
      if (option.getAttribute("role") !== "option" || !option.hasAttribute("aria-selected")) wrong.push(`no option: ${where(option)}`);
    }
  }
  let level = 0;
  for (const heading of [...document.querySelectorAll("h1, h2, h3, h4")].filter(seen)) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) wrong.push(`a level is left out: ${where(heading)}`);
    level = own;
  }

  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((channel) => {
      const part = channel / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const box = at.matches("g.node") ? at.querySelector(".box") : null;
      if (box) return parse(getComputedStyle(box).fill);
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return { r: 255, g: 255, b: 255 };
  };
  let looked = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !seen(element) || element.closest(".unseen, script, style, noscript, option, title, .skip") || element.disabled) continue;
    const style = getComputedStyle(element);
    const inDrawing = element instanceof SVGElement;
    const mark = inDrawing && element.matches(".mark-sign") ? parse(getComputedStyle(element.previousElementSibling).fill) : null;
    const ratio = contrast(parse(inDrawing ? style.fill : style.color), mark ?? ground(element));
    looked++;
    if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(2)}: ${where(element)}`);
  }
  if (looked < 40) wrong.push(`only ${looked} texts were looked at`);
  return wrong;
})()
