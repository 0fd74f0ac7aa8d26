// The summary of the whole plan, or of a tenant.

// The risks to look at first: [level, count, title for one, title for many, explanation, filters].
function risksIn(tenant) {
  const sum = (read) => (tenant >= 0 ? read(tenant) : data.tenants.reduce((total, _, number) => total + read(number), 0));
  const cuts = sum((number) => risksOf[number].cuts);
  const exposes = sum((number) => risksOf[number].exposes);
  const deletes = sum((number) => data.tenants[number].summary[3]);
  const replaces = sum((number) => data.tenants[number].summary[2]);
  const shared = sum((number) => risksOf[number].shared);
  const sharedChanged = data.steps.filter((row) => (row[3] & RISK.shared) && row[1] !== 0 && (tenant < 0 || tenantOf[row[0]] === tenant)).length;
  const ways = reachedIn(tenant).filter((row) => row.opens && row.from.split(" ")[0] === "world").length;
  return [
    ["high", cuts, "change cuts traffic", "changes cut traffic", "Traffic through these objects is interrupted while they are deleted or replaced.", { risks: ["cuts"] }],
    ["high", sharedChanged, "change of the shared provider router", "changes of the shared provider router", "Ports and routes of the provider router, which all tenants share, are changed or deleted.", { risks: ["shared"], actions: ["update", "replace", "delete"] }],
    ["high", ways, "new way in from the world", "new ways in from the world", "Senders outside can reach more than before.", { risks: ["exposes"] }],
    ["medium", exposes, "change lets something in", "changes let something in", "Public ports that lead to pods, rules that accept from outside, and deleted rules that drop or reject.", { risks: ["exposes"] }],
    ["medium", deletes, "deletion", "deletions", "Objects that are no longer in the spec, or that depend on a replaced object.", { actions: ["delete"] }],
    ["medium", replaces, "replacement", "replacements", "Objects that can't be changed in place: they are deleted and created again.", { actions: ["replace"] }],
    ["low", shared - sharedChanged, "addition to the shared provider router", "additions to the shared provider router", "A new tenant gets a port and routes on it.", { risks: ["shared"], actions: ["create"] }],
  ].filter(([, count]) => count > 0);
}

function drawRisks(tenant, filter) {
  const risks = risksIn(tenant);
  if (risks.length === 0) return el("p", { class: "muted" }, "Nothing is deleted, replaced, interrupted or exposed, and the provider router does not change.");
  return el("div", { class: "risks" }, risks.map(([level, count, one, many, explanation, filters]) =>
    el("button", { type: "button", class: `risk ${level}`, onclick: () => filter(filters) },
      el("b", {}, count.toLocaleString("en")),
      el("span", {}, el("strong", {}, count === 1 ? one : many), el("span", { class: "muted" }, explanation)),
      el("span", { class: "level" }, level))));
}

function drawOverview(section, filter) {
  const totals = ACTIONS.map((name) => data.summary[name]);
  const touched = data.tenants.filter((tenant) => tenant.name !== "site" && tenant.summary.slice(0, 4).some(Boolean)).length;
  const tenants = data.tenants.filter((tenant) => tenant.name !== "site").length;
  const changes = totals.slice(0, 4).reduce((sum, count) => sum + count, 0);
  const card = (action) => el("button", { type: "button", class: "card", disabled: action === 4, onclick: () => filter({ actions: [ACTIONS[action]] }) },
    el("b", { class: ACTIONS[action] }, totals[action].toLocaleString("en")), el("span", { class: "name" }, sign(action), DONE[action]));
  section.replaceChildren(
    el("h2", { id: "overview-title" }, changes === 0 ? "No changes" : `${plural(changes, "change")} in ${plural(touched, "tenant")} of ${tenants}`),
    el("p", { class: "muted" }, changes === 0 ? "The network is as the spec describes it." : "The changes to the network, and the API calls that make them. Nothing has been sent."),
    el("div", { class: "cards" }, ACTIONS.map((_, action) => card(action))),
    el("h3", {}, "Look at these first"),
    drawRisks(-1, filter),
    ...cutPods(),
    ...reachability(-1),
    ...foreign(),
    el("h3", {}, "This plan"),
    el("dl", { class: "facts" },
      el("dt", {}, "Site"), el("dd", {}, data.site),
      el("dt", {}, "Engine"), el("dd", {}, engineName(data.engine)),
      el("dt", {}, "SHA-256"), el("dd", { class: "mono" }, data.sha256),
      el("dt", {}, "Observed state"), el("dd", { class: "mono" }, data.base)));
}

// The pods and other bound ports that the plan cuts off from their network.
function cutPods() {
  if (data.cut_pods.length === 0) return [];
  const most = 200;
  return [el("h3", {}, `${data.cut_heading} that are cut off (${data.cut_pods.length})`), el("p", { class: "warn" }, el("span", { "aria-hidden": "true" }, "▲"), "Their bridge is taken away, its network or gateway changes, or their host leaves the tunnel zone. An apply needs --cut-pods."),
    el("ul", { class: "cut-pods" }, data.cut_pods.slice(0, most).map((pod) => el("li", {}, el("code", {}, pod))), data.cut_pods.length > most && el("li", { class: "muted" }, `and ${data.cut_pods.length - most} more`))];
}

// The changes of reachability.
const MOST_REACHED = 400;

function reachedIn(tenant) {
  const rows = data.reachability?.rows ?? [];
  return tenant < 0 ? rows : rows.filter((row) => row.tenants.includes(tenant));
}

function reachability(tenant) {
  if (!data.reachability) return [];
  const { new_tenants: added, gone_tenants: gone, not_compared: unknown } = data.reachability;
  const own = reachedIn(tenant);
  const name = tenant < 0 ? null : data.tenants[tenant].name;
  const among = (names) => (name === null ? names : names.filter((one) => one === name));
  const note = (names, words) => names.length > 0 && el("p", { class: "muted" }, `${names.length > 8 ? plural(names.length, "tenant") : names.join(", ")}: ${words}`);
  const notes = [
    note(among(added), "new. Only traffic to and from others is listed."),
    note(among(gone), "deleted. Traffic to and from it is not listed."),
    note(among(unknown), "has too many rules to compare."),
  ].filter(Boolean);
  if (own.length === 0 && notes.length === 0) notes.push(el("p", { class: "muted" }, "The change opens and closes nothing."));
  return [el("h3", {}, "Reachability"), ...notes, ...[reached("Opened", own.filter((row) => row.opens), 0), reached("Closed", own.filter((row) => !row.opens), 3)].filter(Boolean)];
}

// One line for one source and several destinations. Traffic between tenants comes first.
function grouped(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = [row.from, row.what, row.source].join("\n");
    const group = groups.get(key);
    if (group) group.to.push(row.to);
    else groups.set(key, { ...row, to: [row.to] });
  }
  const tenant = (place) => place.split(/[/ ]/)[0];
  const rank = (group) => (tenant(group.from) === "world" ? 0 : group.to.some((to) => tenant(to) !== tenant(group.from)) ? 1 : 2);
  return [...groups.values()].sort((a, b) => rank(a) - rank(b));
}

function reached(title, rows, action) {
  if (rows.length === 0) return null;
  const groups = grouped(rows);
  const head = ["", "From", "To", "What", "By"].map((name) => el("th", { scope: "col" }, name || el("span", { class: "unseen" }, "Now")));
  const body = groups.slice(0, MOST_REACHED).map((group) => el("tr", {},
    el("td", {}, el("span", { class: `sign ${ACTIONS[action]}` }, el("span", { "aria-hidden": "true" }, SIGNS[action]), el("span", { class: "unseen" }, group.opens ? "allowed" : "denied"))),
    el("td", { class: "mono" }, group.from), el("td", { class: "mono" }, group.to.map((to) => el("div", {}, to))), el("td", { class: "mono" }, group.what), el("td", { class: "mono" }, group.source ?? "")));
  return el("div", { class: "reach", role: "region", tabindex: "0", "aria-label": title },
    el("p", { class: `title ${ACTIONS[action]}` }, `${title}: ${rows.length.toLocaleString("en")}`),
    el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)),
    groups.length > MOST_REACHED && el("p", { class: "muted" }, `and ${groups.length - MOST_REACHED} more`));
}

function foreign() {
  if (data.foreign.length === 0) return [];
  return [el("h3", {}, `Left alone (${data.foreign.length})`), el("p", { class: "muted" }, "Objects near the tenants that midoform does not manage."),
    el("table", {}, el("thead", {}, el("tr", {}, ["Near", "Kind", "Id", "What"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, data.foreign.slice(0, 100).map(([near, kind, id, what]) => el("tr", {}, el("td", { class: "mono" }, near), el("td", {}, kind), el("td", { class: "mono" }, id), el("td", {}, what)))))];
}
