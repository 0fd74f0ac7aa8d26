// One object: its description, its steps and their reasons, its differences, its calls, and its related objects.

function drawDetail(number, go, close) {
  const found = object(number);
  const steps = (stepsOf.get(number) ?? []).map(step);
  const link = (other) => el("button", { type: "button", class: "link mono", onclick: () => go(other) }, object(other).key);
  const links = (title, numbers) => numbers.length > 0 && [
    el("h3", {}, title),
    el("ul", {}, numbers.slice(0, 60).map((other) => el("li", {}, sign(object(other).action), link(other))),
      numbers.length > 60 && el("li", { class: "muted" }, `and ${numbers.length - 60} more`)),
  ];
  const needs = [...new Set(steps.flatMap((one) => one.needs))];
  const stands = [found.on, found.to].filter((other) => other >= 0);
  const chains = found.kind === "router" || found.kind === "bridge" ? chainsOf(found).map((chain) => chain.number) : [];
  const children = inOrder(childrenOf(number).filter((child) => child.on === number).map((child) => child.number));
  return [
    el("button", { type: "button", class: "close", onclick: close, "aria-label": "Close" }, "✕"),
    el("p", {}, el("span", { class: `pill ${ACTIONS[found.action]}` }, el("span", { "aria-hidden": "true" }, SIGNS[found.action]), DONE[found.action]), " ", el("span", { class: "muted" }, found.kind)),
    el("h2", { class: "mono", tabindex: "-1" }, found.key),
    el("p", { class: "what" }, found.what),
    steps.map((one) => warnings(one)),
    el("dl", { class: "facts" },
      steps.map((one) => [el("dt", {}, steps.length > 1 ? `Why ${DONE[one.action]}` : "Why"), el("dd", {}, one.reason)]),
      el("dt", {}, "Source"), el("dd", { class: "mono" }, found.file ? `${found.file}:${found.line}` : "not in the spec"),
      found.publicEnd && [el("dt", {}, "Public"), el("dd", { class: "mono" }, found.publicEnd)]),
    found.differences.length > 0 && [el("h3", {}, "Differences"), differences(found)],
    steps.map((one) => one.calls.length > 0 && [el("h3", {}, `Calls of step ${one.number + 1}`), one.calls.map(drawCall)]),
    steps.some((one) => one.undo.length > 0) && el("details", {}, el("summary", {}, "Calls that undo the step"), steps.flatMap((one) => one.undo).map(drawCall)),
    links("Waits for", needs),
    links("Parents", stands.filter((other) => !chains.includes(other))),
    links("Chains", chains),
    attached(number),
    links(found.kind === "chain" ? "Rules, in order" : "Children", children),
  ];
}

function attached(number) {
  const pods = attachedTo(number);
  if (pods.length === 0) return null;
  const affected = object(number).action === 2 || object(number).action === 3;
  return [el("h3", {}, `Attached (${pods.length})`), affected && el("p", { class: "warn" }, el("span", { "aria-hidden": "true" }, "▲"), "Their bridge is deleted or replaced."),
    el("ul", {}, pods.slice(0, 60).map((pod) => el("li", {}, el("code", {}, pod))), pods.length > 60 && el("li", { class: "muted" }, `and ${pods.length - 60} more`))];
}

// Rules in the order of evaluation, which is the order of their creation.
function inOrder(numbers) {
  const place = (number) => stepsOf.get(number)?.[0] ?? Infinity;
  return numbers.sort((a, b) => place(a) - place(b) || a - b);
}

function warnings(one) {
  const said = [];
  if (one.risks & RISK.cuts) said.push("Traffic through it is interrupted during this step.");
  if (one.risks & RISK.exposes) said.push(one.action === 3 ? "A rule that drops or rejects is deleted: traffic that it stopped may enter." : "It lets in traffic that was stopped before.");
  if ((one.risks & RISK.shared) && one.action !== 0) said.push("It changes the provider router, which all tenants share.");
  return said.map((words) => el("p", { class: "warn" }, el("span", { "aria-hidden": "true" }, "▲"), words));
}

function differences(found) {
  const rows = found.differences.map(([name, before, after]) => el("tr", {},
    el("td", { class: "mono" }, name),
    el("td", { class: "diff mono" }, before && el("div", {}, el("del", {}, before)), after && el("div", {}, el("ins", {}, after)))));
  return el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Field"), el("th", { scope: "col" }, "Before and after"))), el("tbody", {}, rows));
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

function asCurl(call) {
  const quote = (words) => `'${words.replaceAll("'", "'\\''")}'`;
  const url = quote(data.base_url + call.path);
  // A PUT of these fields alone would clear all others.
  if (call.method === "PUT") return `curl -s -H ${quote(`Accept: ${call.media}`)} ${url} | jq -c --argjson fields ${quote(call.body)} '. + $fields' | curl -X PUT -H ${quote(`Content-Type: ${call.media}`)} -d @- ${url}`;
  const parts = ["curl", "-X", call.method];
  if (call.media) parts.push("-H", quote(`${call.body === null ? "Accept" : "Content-Type"}: ${call.media}`));
  if (call.body !== null) parts.push("-d", quote(call.body));
  return [...parts, url].join(" ");
}

function drawCall(call) {
  const copy = data.engine === "ovn" ? null : el("button", { type: "button", onclick: () => copyText(asCurl(call), copy) }, "Copy as curl");
  const colour = { POST: "create", insert: "create", DELETE: "delete", delete: "delete" }[call.method] ?? "update";
  return el("div", { class: "call" },
    el("div", { class: "line" }, el("b", { class: `mono ${colour}` }, call.method), el("code", {}, call.path), copy),
    call.media && el("div", { class: "media mono" }, call.media),
    call.body !== null && el("pre", {}, pretty(call.body)),
    call.method === "PUT" ? el("div", { class: "media" }, "These fields are set in the object as it is then. The others stay.") : null,
    call.binds ? el("div", { class: "media" }, "The Location header of the response holds the id for ${…} with this key.") : null);
}

function copyText(words, button) {
  const said = button.textContent;
  const done = (result) => {
    button.textContent = result;
    setTimeout(() => { button.textContent = said; }, 1500);
  };
  if (navigator.clipboard) navigator.clipboard.writeText(words).then(() => done("Copied"), () => done("Not allowed"));
  else done("Not allowed");
}
