// The page: navigation by the address's fragment, the mouse and the keyboard.

const state = { tenant: -1, object: -1, actions: [], risks: [], kind: "", query: "" };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const list = (name, allowed) => (given.get(name) ?? "").split(",").filter((value) => allowed.includes(value));
  state.tenant = data.tenants.findIndex((tenant) => tenant.name === given.get("tenant"));
  state.object = given.has("object") ? numberOf(given.get("object")) : -1;
  state.actions = list("actions", ACTIONS);
  state.risks = list("risks", Object.keys(RISK));
  state.kind = data.kinds.includes(given.get("kind")) ? given.get("kind") : "";
  state.query = given.get("q") ?? "";
}

function numberOf(key) {
  const tenant = data.tenants.find((one) => one.name === key.split("/")[0]);
  for (let number = tenant?.start ?? 0; number < (tenant?.end ?? 0); number++) if (object(number).key === key) return number;
  return -1;
}

function writeAddress() {
  const said = new URLSearchParams();
  if (state.tenant >= 0) said.set("tenant", data.tenants[state.tenant].name);
  if (state.object >= 0) said.set("object", object(state.object).key);
  if (state.actions.length > 0) said.set("actions", state.actions.join(","));
  if (state.risks.length > 0) said.set("risks", state.risks.join(","));
  if (state.kind) said.set("kind", state.kind);
  if (state.query) said.set("q", state.query);
  const address = said.size > 0 ? `#${said}` : location.pathname;
  // Some browsers allow no history on file: addresses.
  try { history.replaceState(null, "", address); } catch { /* the address stays as it is */ }
}

const tenantList = new List("Tenants", 32, tenantRow, (number, enter) => {
  openTenant(number);
  if (enter) byId("main").focus();
});
const drawing = new Drawing((number) => choose(number));
const changes = new Changes(byId("changes"), state, (number, enter) => choose(number, enter));
changes.onchange = (wanted) => {
  Object.assign(state, wanted);
  if (wanted.query !== undefined) byId("search").value = wanted.query;
  refresh();
};

function tenantRow(number) {
  const tenant = data.tenants[number];
  const risks = risksOf[number];
  const danger = [risks.cuts > 0 && "cuts traffic", risks.exposes > 0 && tenant.summary[4] > 0 && "lets something in"].filter(Boolean);
  return [el("span", { class: "grow", title: tenant.name }, tenant.name === "site" ? "site (shared)" : tenant.name), danger.length > 0 && warningMark(danger.join(", ")), counts(tenant.summary)];
}

// Filters by the selected risk of the summary.
function filterBy(filters) {
  Object.assign(state, { actions: [], risks: [], kind: "" }, filters);
  refresh();
  byId("changes").scrollIntoView({ block: "start" });
}

function openTenant(number) {
  state.tenant = number;
  if (state.object >= 0 && tenantOf[state.object] !== number && number >= 0) closeDetail();
  refresh();
  byId("main").scrollTop = 0;
}

function choose(number, focus = false) {
  state.object = number;
  if (state.tenant >= 0 && state.tenant !== tenantOf[number]) {
    state.tenant = tenantOf[number];
    refresh();
  }
  const aside = byId("detail");
  aside.replaceChildren(...drawDetail(number, (other) => choose(other, true), () => closeDetail(true)).flat(4).filter(Boolean));
  aside.hidden = false;
  aside.scrollTop = 0;
  drawing.mark(number);
  changes.markObject(number);
  if (focus) aside.querySelector("h2").focus();
  writeAddress();
}

function closeDetail(focus = false) {
  state.object = -1;
  byId("detail").hidden = true;
  drawing.mark(-1);
  writeAddress();
  if (focus) changes.list.element.focus();
}

// The tenants that match the search, by name or by their objects.
function tenantsShown() {
  const needle = words(state.query);
  const all = data.tenants.map((_, number) => number);
  if (needle.length === 0) return all;
  return all.filter((number) => {
    const { name, start, end } = data.tenants[number];
    if (needle.every((word) => name.toLowerCase().includes(word))) return true;
    for (let at = start; at < end; at++) if (matches(at, needle)) return true;
    return false;
  });
}

let drawn = null;
function refresh() {
  const { tenant } = state;
  byId("overview").hidden = tenant >= 0;
  byId("tenant").hidden = tenant < 0;
  byId("overview-open").setAttribute("aria-current", String(tenant < 0));
  if (tenant >= 0 && drawn !== tenant) drawTenant(tenant);
  drawn = tenant;
  const shown = tenantsShown();
  byId("tenants-title").textContent = shown.length === data.tenants.length ? `Tenants (${data.tenants.length.toLocaleString("en")})` : `Tenants (${shown.length.toLocaleString("en")} of ${data.tenants.length.toLocaleString("en")})`;
  tenantList.show(shown, shown.indexOf(tenant));
  drawing.find(words(state.query));
  changes.show();
  writeAddress();
}

function drawTenant(number) {
  const tenant = data.tenants[number];
  const risks = risksIn(number);
  const last = data.tenants.length - 1;
  const turn = (label, name, to) => el("button", { type: "button", "aria-label": name, title: name, disabled: to < 0 || to > last, onclick: () => openTenant(to) }, label);
  byId("tenant").replaceChildren(
    el("div", { class: "headline" },
      el("h2", { id: "tenant-title" }, tenant.name === "site" ? "Shared objects of the site" : tenant.name), counts(tenant.summary),
      el("span", { class: "muted" }, `${plural(tenant.end - tenant.start, "object")}`),
      el("span", { class: "end" }, turn("←", "Previous tenant", number - 1), turn("→", "Next tenant", number + 1))),
    drawing.element,
    ...(risks.length > 0 ? [el("h3", {}, "Look at these first"), drawRisks(number, filterBy)] : []),
    ...reachability(number));
  drawing.show(number);
}

function showTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const button = byId("theme");
  button.textContent = dark ? "☀ Light" : "☾ Dark";
  button.setAttribute("aria-label", dark ? "Light colours" : "Dark colours");
  return dark;
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (typing && event.target.value) changes.onchange({ query: "" });
    else if (!byId("detail").hidden) closeDetail(true);
    else if (state.tenant >= 0) openTenant(-1);
    return;
  }
  if (typing) return;
  const acts = {
    "/": () => byId("search").focus(),
    "?": () => byId("help").showModal(),
    t: () => tenantList.element.focus(),
    c: () => changes.list.element.focus(),
    d: () => drawing.svg.focus(),
    o: () => openTenant(-1),
    n: () => openTenant(Math.min(data.tenants.length - 1, state.tenant + 1)),
    p: () => openTenant(Math.max(-1, state.tenant - 1)),
    x: () => changes.onchange({ actions: [], risks: [], kind: "", query: "" }),
    l: () => byId("theme").click(),
  };
  if (event.key in acts) {
    event.preventDefault();
    acts[event.key]();
  }
}

function start() {
  document.title = `midoform review: ${data.site}`;
  byId("title").textContent = printable(`Review: ${data.site}`);
  byId("subtitle").textContent = `plan ${data.sha256.slice(0, 12)}… · ${engineName(data.engine)}`;
  byId("tenants").append(tenantList.element);
  const help = byId("help");
  const shortcuts = [["/", "search"], ["t", "tenants"], ["c", "changes"], ["d", "drawing: arrows move, + − zoom, 0 fits"], ["j k ↑ ↓", "through a list"], ["Enter", "open the marked item"], ["n p", "next tenant, tenant before"], ["o", "overview"], ["x", "clear filters"], ["l", "light or dark"], ["Esc", "close, go back"]];
  help.append(el("h2", { id: "help-title" }, "Keys"), el("dl", {}, shortcuts.map(([key, meaning]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, meaning)])),
    el("button", { type: "button", onclick: () => help.close() }, "Close"));
  byId("help-open").addEventListener("click", () => help.showModal());
  byId("overview-open").addEventListener("click", () => openTenant(-1));
  byId("print").addEventListener("click", () => window.print());
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = showTheme() ? "light" : "dark";
    showTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  let waiting = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => changes.onchange({ query: event.target.value }), 90);
  });
  document.addEventListener("keydown", keys);
  window.addEventListener("beforeprint", () => drawPaper(state, changes));
  window.addEventListener("hashchange", open);
  showTheme();
  drawOverview(byId("overview"), filterBy);
  open();
  // The time when everything is drawn; the benchmark reads it.
  requestAnimationFrame(() => setTimeout(() => performance.mark("shown")));
}

function open() {
  readAddress();
  byId("search").value = state.query;
  const chosen = state.object;
  if (chosen < 0) byId("detail").hidden = true;
  refresh();
  if (chosen >= 0) choose(chosen);
}

start();
