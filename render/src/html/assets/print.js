// The printed page: the summary, the risks, and the changes that pass the filters; for a tenant its drawing too.

const MOST_ON_PAPER = 3000;

function drawPaper(state, changes) {
  const passing = changes.passing();
  const tenant = state.tenant >= 0 ? data.tenants[state.tenant] : null;
  const scope = tenant ? tenant.summary : ACTIONS.map((name) => data.summary[name]);
  const rows = passing.slice(0, MOST_ON_PAPER).map((number) => {
    const one = step(number);
    const found = object(one.of);
    const marks = [one.risks & RISK.cuts && "cuts traffic", one.risks & RISK.exposes && "lets something in"].filter(Boolean);
    return el("tr", {}, el("td", {}, String(number + 1)), el("td", {}, sign(one.action)), el("td", {}, el("code", {}, found.key), marks.length > 0 && el("strong", { class: "delete" }, ` ▲ ${marks.join(", ")}`)),
      el("td", {}, found.kind), el("td", {}, found.what), el("td", {}, one.calls.map((call) => el("div", {}, el("code", {}, `${call.method} ${call.path}`)))), el("td", { class: "place" }, found.file ? `${found.file}:${found.line}` : ""));
  });
  const picture = [];
  if (tenant) {
    const drawing = new Drawing(() => {});
    drawing.show(state.tenant);
    const { nodes, height } = drawing.plan;
    const left = Math.min(...nodes.map((node) => node.x)) - 20;
    const right = Math.max(...nodes.map((node) => node.x + node.w)) + 20;
    drawing.svg.setAttribute("viewBox", `${left} -20 ${right - left} ${height + 40}`);
    drawing.stage.removeAttribute("transform");
    picture.push(drawing.svg);
  }
  byId("paper").replaceChildren(
    el("h1", {}, `midoform review: ${data.site}${tenant ? `, tenant ${tenant.name}` : ""}`),
    el("p", {}, `SHA-256 ${data.sha256}`),
    el("p", {}, scope.map((count, action) => `${count.toLocaleString("en")} ${DONE[action]}`).join(", ")),
    el("h2", {}, "Look at these first"), drawRisks(state.tenant, () => {}),
    ...reachability(state.tenant),
    ...picture,
    el("h2", {}, `Changes (${passing.length.toLocaleString("en")})`),
    el("table", {}, el("thead", {}, el("tr", {}, ["No.", "", "Key", "Kind", "What", "Calls", "From"].map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)),
    passing.length > rows.length ? el("p", {}, `and ${(passing.length - rows.length).toLocaleString("en")} more: filter for less, or print one tenant`) : "");
}
