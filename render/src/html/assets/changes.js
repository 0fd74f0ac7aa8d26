// The steps of the plan that pass the filters, in the order of the plan.

class Changes {
  constructor(section, state, choose) {
    this.section = section;
    this.state = state;
    this.list = new List("Changes, in the order of the plan", 34, (number) => this.row(number), (number, enter) => choose(data.steps[number][0], enter));
    this.count = el("span", { class: "count", role: "status", "aria-live": "polite" });
    this.empty = el("p", { class: "empty", hidden: true }, "No change passes these filters.");
    const toggle = (name, value, ...content) => el("button", { type: "button", "aria-pressed": "false", "data-filter": `${name}:${value}`, onclick: () => this.toggle(name, value) }, content);
    this.kinds = el("select", { id: "kind", onchange: () => this.change({ kind: this.kinds.value }) }, el("option", { value: "" }, "every kind"), this.kindOptions());
    this.toggles = [
      ...ACTIONS.slice(0, 4).map((name, action) => toggle("actions", name, sign(action), el("span", { "data-count": name }))),
      toggle("risks", "cuts", "▲ cuts traffic"),
      toggle("risks", "exposes", "▲ lets in"),
      toggle("risks", "shared", "provider router"),
    ];
    section.append(el("h2", { id: "changes-title" }, "Changes"),
      el("div", { class: "filters", role: "group", "aria-label": "Filters" }, this.toggles,
        el("label", { class: "unseen", for: "kind" }, "Kind"), this.kinds,
        el("button", { type: "button", id: "clear", onclick: () => this.change({ actions: [], risks: [], kind: "", query: "" }) }, "Clear"),
        this.count),
      el("div", { class: "frame" }, this.list.element, this.empty));
  }

  kindOptions() {
    const used = new Set(data.steps.map((row) => data.objects[row[0]][1]));
    return data.kinds.map((name, number) => used.has(number) && el("option", { value: name }, name));
  }

  toggle(name, value) {
    const now = this.state[name];
    this.change({ [name]: now.includes(value) ? now.filter((other) => other !== value) : [...now, value] });
  }

  change(wanted) {
    this.onchange(wanted);
  }

  // The numbers of the steps that pass the filters.
  passing() {
    const { actions, risks, kind, query, tenant } = this.state;
    const needle = words(query);
    const wanted = risks.reduce((bits, name) => bits | RISK[name], 0);
    const kindNumber = data.kinds.indexOf(kind);
    const found = [];
    data.steps.forEach((row, number) => {
      const [of, action] = row;
      if (tenant >= 0 && tenantOf[of] !== tenant) return;
      if (actions.length > 0 && !actions.includes(ACTIONS[action])) return;
      if (wanted && !(row[3] & wanted)) return;
      if (kindNumber >= 0 && data.objects[of][1] !== kindNumber) return;
      if (needle.length > 0 && !matches(of, needle) && !callsMatch(number, needle)) return;
      found.push(number);
    });
    return found;
  }

  show() {
    const passing = this.passing();
    const scope = this.state.tenant >= 0 ? data.tenants[this.state.tenant].summary : data.tenants.reduce((sum, tenant) => sum.map((count, at) => count + tenant.summary[at]), [0, 0, 0, 0, 0]);
    for (const button of this.toggles) {
      const [name, value] = button.dataset.filter.split(":");
      button.setAttribute("aria-pressed", String(this.state[name].includes(value)));
      const counter = button.querySelector("[data-count]");
      if (counter) counter.textContent = scope[ACTIONS.indexOf(value)].toLocaleString("en");
    }
    this.kinds.value = this.state.kind;
    const chosen = passing.findIndex((number) => data.steps[number][0] === this.state.object);
    this.list.show(passing, chosen);
    const inScope = scope.slice(0, 4).reduce((sum, count) => sum + count, 0);
    this.count.textContent = passing.length === inScope ? plural(inScope, "change") : `${passing.length.toLocaleString("en")} of ${plural(inScope, "change")}`;
    this.empty.hidden = passing.length > 0;
    this.empty.textContent = inScope === 0 ? "No changes here: the network is as the spec describes it." : "No change passes these filters.";
  }

  markObject(number) {
    this.list.mark(this.list.items.findIndex((item) => data.steps[item][0] === number));
  }

  row(number) {
    const one = data.steps[number];
    const found = object(one[0]);
    return [
      el("span", { class: "number" }, String(number + 1)),
      sign(one[1]),
      el("span", { class: "key mono", title: found.key }, this.state.tenant >= 0 ? shortKey(found) : found.key),
      el("span", { class: "kind" }, found.kind),
      el("span", { class: "grow muted", title: found.what }, found.what),
      (one[3] & RISK.cuts) > 0 && warningMark("cuts traffic"),
      (one[3] & RISK.exposes) > 0 && warningMark("lets something in"),
      el("span", { class: "place mono" }, found.file ? `${found.file}:${found.line}` : ""),
    ];
  }
}

function words(query) {
  return query.toLowerCase().split(/\s+/).filter(Boolean);
}

// Calls are searched only if the object itself does not match.
const callTexts = [];
function callsMatch(number, needle) {
  if (callTexts[number] === undefined) {
    callTexts[number] = step(number).calls.map((call) => `${call.method} ${call.path} ${call.body ?? ""}`).join("\n").toLowerCase();
  }
  return needle.every((word) => callTexts[number].includes(word));
}
