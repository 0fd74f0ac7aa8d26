// Where things stand in a tenant's drawing: a pure function of its objects and of what is unfolded.
// From the top: the provider router, the tenant's router with its public ports to the left and its peers to the right,
// the bridges in rows, and below each its ports.

const SIZE = { router: [240, 74], bridge: [236, 58], port: [132, 34], side: [232, 44], gap: 26, portGap: 10, sideGap: 14 };
const FEW_PORTS = 6;
const FEW_SIDES = 6;
const MOST_IN_ROW = 5;

// web-2 comes before web-10.
const byName = new Intl.Collator("en", { numeric: true });

// The devices of a tenant, their ports, and what joins them.
function topologyOf(tenantNumber) {
  const tenant = data.tenants[tenantNumber];
  const all = [];
  for (let number = tenant.start; number < tenant.end; number++) all.push(object(number));
  const of = (kind) => all.filter((found) => found.kind === kind);
  const linkOf = new Map();
  for (const link of of("port link")) {
    linkOf.set(link.on, link);
    linkOf.set(link.to, link);
  }
  // A link to another tenant is the object of only one of the two.
  for (const port of of("router").flatMap((router) => childrenOf(router.number, "router port"))) {
    if (linkOf.has(port.number)) continue;
    const foreign = foreignLinks().get(port.number);
    if (foreign) linkOf.set(port.number, foreign);
  }
  return { tenant, tenantNumber, routers: of("router"), bridges: of("bridge"), rules: of("rule"), all, linkOf };
}

let linksByPort = null;
function foreignLinks() {
  if (!linksByPort) {
    linksByPort = new Map();
    const kind = data.kinds.indexOf("port link");
    data.objects.forEach((row, number) => {
      if (row[1] !== kind) return;
      const link = object(number);
      linksByPort.set(link.on, link);
      linksByPort.set(link.to, link);
    });
  }
  return linksByPort;
}

// The chains that a device puts its packets to, those that they jump to included.
function chainsOf(device) {
  const found = new Set();
  const queue = [device.on, device.to].filter((number) => number >= 0);
  while (queue.length > 0) {
    const chain = queue.pop();
    if (found.has(chain) || object(chain).kind !== "chain") continue;
    found.add(chain);
    for (const rule of childrenOf(chain, "rule")) if (rule.to >= 0) queue.push(rule.to);
  }
  return [...found].map(object);
}

function tally(objects) {
  const summary = [0, 0, 0, 0, 0];
  for (const found of objects) summary[found.action]++;
  return summary;
}

// Nodes with their places, and wires between them.
function layout(topology, unfolded) {
  const nodes = [];
  const wires = [];
  const add = (node) => (nodes.push(node), node);
  const bridges = topology.bridges.map((bridge) => bridgeBlock(topology, bridge, unfolded));
  const rows = rowsOf(bridges);
  const width = Math.max(SIZE.router[0] + 2 * (SIZE.side[0] + 56), ...rows.map((row) => row.width));
  const router = topology.routers[0];
  const outside = router ? neighbours(topology, router) : [];
  const provider = outside.find((end) => end.shared);
  let y = 0;
  let top = null;
  if (provider) {
    top = add({ ...provider, type: "provider", x: width / 2 - SIZE.router[0] / 2, y, w: SIZE.router[0], h: 46 });
    y += 46 + 78;
  }
  const sides = router ? sidesOf(topology, router, outside.filter((end) => !end.shared), unfolded) : { left: [], right: [] };
  const tall = Math.max(sides.left.length, sides.right.length) * (SIZE.side[1] + SIZE.sideGap) - SIZE.sideGap;
  const middle = y + Math.max(SIZE.router[1], tall) / 2;
  let hub = null;
  topology.routers.forEach((found, number) => {
    const x = width / 2 - SIZE.router[0] / 2 + number * (SIZE.router[0] + 30);
    const node = add(routerNode(topology, found, x, middle - SIZE.router[1] / 2));
    hub ??= node;
  });
  if (hub && top) wires.push({ link: provider.link, path: `M${width / 2} ${top.y + top.h}V${hub.y}`, label: provider.label, at: [width / 2, (top.y + top.h + hub.y) / 2] });
  placeSides(sides, hub, middle, width, nodes, wires);
  y = Math.max(middle + SIZE.router[1] / 2, middle + tall / 2) + 52;
  placeBridges(rows, hub, width, y, nodes, wires);
  return { nodes, wires, width, height: Math.max(...nodes.map((node) => node.y + node.h), 100) };
}

// The other ends of a router's links that are not its own bridges.
function neighbours(topology, router) {
  const found = [];
  for (const port of childrenOf(router.number, "router port")) {
    const link = topology.linkOf.get(port.number);
    const far = link && (link.on === port.number ? link.to : link.on);
    if (far === undefined || far < 0) continue;
    const end = object(far);
    if (end.kind !== "router port") continue;
    const isSite = topology.tenant.name === "site";
    const shared = !isSite && (end.on < -1 || (end.on >= 0 && object(end.on).tenant === "site"));
    const device = end.on >= 0 ? object(end.on) : null;
    const name = device ? deviceName(device) : `router ${data.externals[-2 - end.on].slice(0, 8)}…`;
    const near = port.what.split(" ")[0];
    found.push({ key: `far:${far}`, of: device ?? end, link, shared, port, name, fine: end.what.split(" ")[0], label: `${end.what.split("/")[0]} ↔ ${near}`, action: device ? device.action : 4 });
  }
  return found;
}

function deviceName(device) {
  const quoted = /^"(.*)"$/.exec(device.what);
  return quoted ? quoted[1] : device.what;
}

function routerNode(topology, router, x, y) {
  const rules = chainsOf(router).flatMap((chain) => childrenOf(chain.number, "rule"));
  const routes = childrenOf(router.number, "route");
  return {
    key: `o${router.number}`, type: "router", of: router, x, y, w: SIZE.router[0], h: SIZE.router[1], action: router.action,
    name: deviceName(router),
    lines: [`${plural(rules.length, "rule")} · ${plural(routes.length, "route")}`],
    inside: tally([...rules, ...routes]),
  };
}

// Public ports to the left, peers to the right; many of them are folded into one.
function sidesOf(topology, router, peers, unfolded) {
  const fold = (items, key, word) => {
    if (items.length <= FEW_SIDES || unfolded.has(key)) return items;
    return [{ key, type: "fold", fold: key, items: items.map((item) => item.of), name: plural(items.length, word), action: 4, inside: tally(items.map((item) => item.of)) }];
  };
  const word = topology.tenant.name === "site" ? "tenant" : "peer";
  const exposes = topology.rules.filter((rule) => rule.publicEnd).map((rule) => ({ key: `o${rule.number}`, type: "expose", of: rule, name: rule.publicEnd.split(" → ")[0], fine: `→ ${rule.publicEnd.split(" → ")[1]}`, action: rule.action }));
  const others = peers.map((peer) => ({ ...peer, type: "peer", name: peer.of.tenant === topology.tenant.name ? peer.name : `${word} ${peer.of.tenant}`, action: peer.port.action, of: peer.port }));
  return { left: fold(exposes, "exposes", "public port"), right: fold(others, "peers", word) };
}

function placeSides(sides, hub, middle, width, nodes, wires) {
  if (!hub) return;
  for (const [side, items] of Object.entries(sides)) {
    const [w, h] = SIZE.side;
    const x = side === "left" ? hub.x - 56 - w : hub.x + hub.w + 56;
    const start = middle - (items.length * (h + SIZE.sideGap) - SIZE.sideGap) / 2;
    items.forEach((item, number) => {
      const y = start + number * (h + SIZE.sideGap);
      nodes.push({ ...item, x, y, w, h });
      const [from, to] = side === "left" ? [x + w, hub.x] : [x, hub.x + hub.w];
      const turn = (from + to) / 2;
      wires.push({ link: item.of, action: 4, path: `M${turn} ${y + h / 2}V${middle}H${to}` });
      wires.push({ link: item.link ?? item.of, action: item.action, path: `M${from} ${y + h / 2}H${turn}`, arrow: side === "left" });
    });
  }
}

// A bridge with its ports, as wide as they need.
function bridgeBlock(topology, bridge, unfolded) {
  const ports = childrenOf(bridge.number, "bridge port");
  let gateway = null;
  const own = [];
  ports.sort((a, b) => byName.compare(a.key, b.key));
  for (const port of ports) {
    const link = topology.linkOf.get(port.number);
    if (link) gateway ??= { link, port: object(link.on === port.number ? link.to : link.on) };
    else own.push(port);
  }
  const foldKey = `ports:${bridge.number}`;
  const isOpen = own.length <= FEW_PORTS || unfolded.has(foldKey);
  const inRow = own.length <= FEW_PORTS ? Math.min(own.length, 3) : Math.ceil(Math.sqrt(own.length * 1.2));
  const [portWidth] = SIZE.port;
  const grid = isOpen && own.length > 0 ? inRow * (portWidth + SIZE.portGap) - SIZE.portGap : 0;
  return { bridge, gateway, own, foldKey, isOpen, inRow, width: Math.max(SIZE.bridge[0], grid) };
}

function rowsOf(blocks) {
  const rows = [];
  for (const block of blocks) {
    let row = rows.at(-1);
    if (!row || row.blocks.length >= MOST_IN_ROW || (row.width + block.width > 1900 && row.blocks.length > 0)) {
      row = { blocks: [], width: 0 };
      rows.push(row);
    }
    row.width += block.width + (row.blocks.length > 0 ? SIZE.gap : 0);
    row.blocks.push(block);
  }
  return rows;
}

// Rows of bridges hang on a bus; the buses of further rows hang on a trunk to the left.
function placeBridges(rows, hub, width, top, nodes, wires) {
  let y = top;
  const center = hub ? hub.x + hub.w / 2 : width / 2;
  const trunk = Math.min(0, ...rows.map((row) => (width - row.width) / 2)) - 24;
  rows.forEach((row, number) => {
    const bus = y - 24;
    let x = (width - row.width) / 2;
    let lowest = y;
    for (const block of row.blocks) {
      const middle = x + block.width / 2;
      const bottom = placeBridge(block, middle, y, nodes, wires);
      if (hub && block.gateway) {
        const start = `M${center} ${hub.y + hub.h}`;
        const shared = number === 0 ? `${start}V${bus}H${middle}` : `${start}V${top - 24}H${trunk}V${bus}H${middle}`;
        wires.push({ link: block.gateway.link, action: 4, path: shared });
        wires.push({ link: block.gateway.link, path: `M${middle} ${bus}V${y}` });
      }
      lowest = Math.max(lowest, bottom);
      x += block.width + SIZE.gap;
    }
    y = lowest + 56;
  });
}

function placeBridge(block, middle, y, nodes, wires) {
  const [w, h] = SIZE.bridge;
  const { bridge, gateway, own } = block;
  const pods = attachedTo(bridge.number).length;
  const rules = chainsOf(bridge).flatMap((chain) => childrenOf(chain.number, "rule"));
  const fine = gateway ? gateway.port.what.split(" ")[0] : "no gateway";
  nodes.push({
    key: `o${bridge.number}`, type: "bridge", of: bridge, x: middle - w / 2, y, w, h, action: bridge.action, name: deviceName(bridge),
    lines: [rules.length > 0 ? `${fine} · ${plural(rules.length, "rule")}` : fine, ...(pods > 0 ? [`${plural(pods, "pod")} attached`] : [])],
    inside: tally([...rules, ...(gateway ? [gateway.port] : [])]),
  });
  if (own.length === 0) return y + h;
  const [portWidth, portHeight] = SIZE.port;
  const top = y + h + 22;
  if (!block.isOpen) {
    const summary = tally(own);
    nodes.push({ key: block.foldKey, type: "fold", fold: block.foldKey, items: own, x: middle - w / 2, y: top, w, h: portHeight, action: summary[4] === own.length ? 4 : -1, name: plural(own.length, "port"), inside: summary });
    wires.push({ link: own[0], action: 4, path: `M${middle} ${y + h}V${top}` });
    return top + portHeight;
  }
  const pitch = portWidth + SIZE.portGap;
  own.forEach((port, number) => {
    const row = Math.floor(number / block.inRow);
    const inThis = Math.min(block.inRow, own.length - row * block.inRow);
    const left = middle - (inThis * pitch - SIZE.portGap) / 2 + (number % block.inRow) * pitch;
    const py = top + row * (portHeight + SIZE.portGap);
    const binding = childrenOf(port.number, "host interface port")[0];
    nodes.push({ key: `o${port.number}`, type: "port", of: port, x: left, y: py, w: portWidth, h: portHeight, action: port.action, name: port.key.slice(port.key.lastIndexOf("/") + 1), fine: binding?.what.split(" on ")[0] });
    if (row === 0) {
      wires.push({ link: port, action: 4, path: `M${left + portWidth / 2} ${py - 11}H${middle}V${y + h}` });
      wires.push({ link: port, path: `M${left + portWidth / 2} ${py - 11}V${py}` });
    }
  });
  const count = Math.ceil(own.length / block.inRow);
  let bottom = top + count * (portHeight + SIZE.portGap) - SIZE.portGap;
  if (own.length > FEW_PORTS) {
    nodes.push({ key: `close:${block.foldKey}`, type: "fold", fold: block.foldKey, items: own, x: middle - 70, y: bottom + 8, w: 140, h: 26, action: 4, name: `fold ${own.length} ports`, inside: [0, 0, 0, 0, 0] });
    bottom += 34;
  }
  return bottom;
}
