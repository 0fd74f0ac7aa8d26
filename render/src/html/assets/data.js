// The data: reads the page's JSON block, and turns rows of numbers into objects on demand.

const data = JSON.parse(document.getElementById("data").textContent);

// In the order of the numbers in the data.
const ACTIONS = ["create", "update", "replace", "delete", "keep"];
const SIGNS = ["+", "~", "-/+", "−", "="];
const DONE = ["created", "updated", "replaced", "deleted", "unchanged"];
const RISK = { cuts: 1, exposes: 2, shared: 4 };

const tenantOf = new Int32Array(data.objects.length);
data.tenants.forEach((tenant, number) => tenantOf.fill(number, tenant.start, tenant.end));

// The name of the engine in words.
function engineName(engine) {
  return { "midonet-1": "MidoNet 1.x", "midonet-5": "MidoNet 5.x", ovn: "OVN" }[engine] ?? engine;
}

// A text of the tables: a pattern with the values for its holes.
function text(value, tenant) {
  if (typeof value === "string") return value;
  const filled = Array.isArray(value);
  const pattern = data.texts.patterns[filled ? value[0] : value];
  let next = 1;
  return pattern.replace(/[\u0001\u0002]/g, (hole) => {
    if (hole === "\u0002") return tenant;
    const filling = value[next++];
    return typeof filling === "number" ? data.texts.ids[filling] : filling;
  });
}

const known = new Map();

// An object by its number.
function object(number) {
  let found = known.get(number);
  if (!found) {
    const [key, kind, action, what, file, line, on, to, differences, publicEnd] = data.objects[number];
    const tenant = data.tenants[tenantOf[number]].name;
    const read = (value) => text(value, tenant);
    found = {
      number, tenant, action, on, to, line,
      key: read(key),
      kind: data.kinds[kind],
      what: read(what),
      file: file < 0 ? null : data.files[file],
      differences: differences.map((row) => row.map(read)),
      publicEnd: publicEnd === null ? null : read(publicEnd),
    };
    known.set(number, found);
  }
  return found;
}

// The name of an object inside its tenant.
function shortKey(found) {
  return found.key.slice(found.tenant.length + 1) || found.key;
}

// A step by its number.
function step(number) {
  const [of, action, reason, risks, needs, calls, undo] = data.steps[number];
  const tenant = data.tenants[tenantOf[of]].name;
  const read = (value) => (value === null ? null : text(value, tenant));
  const call = ([method, path, media, body, binds]) => ({ method, path: read(path), media: read(media), body: read(body), binds });
  return { number, of, action, risks, needs, reason: read(reason), calls: calls.map(call), undo: undo.map(call) };
}

const stepsOf = new Map();
data.steps.forEach((row, number) => {
  const steps = stepsOf.get(row[0]);
  if (steps) steps.push(number);
  else stepsOf.set(row[0], [number]);
});

// The children of an object: ports of devices, rules of chains, routes of routers.
const below = new Map();
data.objects.forEach((row, number) => {
  const list = below.get(row[6]);
  if (list) list.push(number);
  else below.set(row[6], [number]);
});
function childrenOf(number, kind) {
  const found = (below.get(number) ?? []).map(object);
  return kind ? found.filter((child) => child.kind === kind) : found;
}

// The ports that are attached to a bridge and not in the spec.
function attachedTo(number) {
  return data.attached.filter(([bridge]) => bridge === number).map(([, what]) => what);
}

// The number of a tenant's steps for each risk.
const risksOf = data.tenants.map(() => ({ cuts: 0, exposes: 0, shared: 0 }));
for (const row of data.steps) {
  if (!row[3]) continue;
  const risks = risksOf[tenantOf[row[0]]];
  for (const name in RISK) if (row[3] & RISK[name]) risks[name]++;
}

// The text of the search index, built on first use.
let haystack = null;
function matches(number, needle) {
  haystack ??= new Array(data.objects.length);
  let hay = haystack[number];
  if (hay === undefined) {
    const found = object(number);
    hay = haystack[number] = `${found.key}\n${found.kind}\n${found.what}\n${found.file ?? ""}:${found.line}\n${found.publicEnd ?? ""}`.toLowerCase();
  }
  return needle.every((word) => hay.includes(word));
}
