// The drawing of a tenant: pan by dragging, zoom by wheel, keys or buttons.

class Drawing {
  constructor(choose) {
    this.choose = choose;
    this.unfolded = new Map();
    this.chosen = -1;
    this.needle = [];
    this.view = { x: 0, y: 0, scale: 1 };
    this.stage = svg("g", {});
    this.svg = svg("svg", {
      role: "group", tabindex: "0", "aria-label": "Topology; arrow keys move it, plus and minus zoom, 0 fits it",
      onwheel: (event) => this.wheel(event),
      onpointerdown: (event) => this.grab(event),
      onkeydown: (event) => this.key(event),
    }, this.stage);
    const button = (label, name, act) => el("button", { type: "button", title: name, "aria-label": name, onclick: act }, label);
    this.element = el("div", { class: "canvas" }, this.svg,
      el("div", { class: "zoom" },
        button("+", "Zoom in", () => this.zoom(1.3)),
        button("−", "Zoom out", () => this.zoom(1 / 1.3)),
        button("⤢", "Fit the drawing", () => this.fit())),
      el("div", { class: "legend", "aria-hidden": "true" },
        ACTIONS.map((name, action) => el("span", { class: `pill ${name}` }, `${SIGNS[action]} ${DONE[action]}`))));
    new ResizeObserver(() => this.resized()).observe(this.element);
  }

  show(tenantNumber) {
    this.tenantNumber = tenantNumber;
    this.topology = topologyOf(tenantNumber);
    if (!this.unfolded.has(tenantNumber)) this.unfolded.set(tenantNumber, new Set());
    this.draw();
    this.fit();
  }

  // Unfolds the group of an object, and marks the object.
  mark(number) {
    this.chosen = number;
    if (!this.topology || tenantOf[number] !== this.tenantNumber) return;
    const holder = this.plan.nodes.find((node) => node.fold && node.items.some((item) => item.number === number));
    const shown = this.plan.nodes.some((node) => node.key === `o${number}`);
    if (holder && !shown) {
      this.unfolded.get(this.tenantNumber).add(holder.fold);
      this.draw();
      this.fit();
    }
    this.paint();
  }

  find(needle) {
    this.needle = needle;
    if (this.topology) this.paint();
  }

  draw() {
    this.plan = layout(this.topology, this.unfolded.get(this.tenantNumber));
    this.nodes = new Map();
    const wires = this.plan.wires.map((wire) => this.wire(wire));
    const nodes = this.plan.nodes.map((node) => {
      const drawn = this.node(node);
      this.nodes.set(node.key, drawn);
      return drawn;
    });
    this.stage.replaceChildren(...wires, ...nodes);
    this.paint();
  }

  wire({ link, action, path, label, at, arrow }) {
    const done = ACTIONS[action ?? link.action];
    const line = svg("path", { class: `wire is-${done}`, d: path });
    if (!label && !arrow) return line;
    const parts = [line];
    if (label) {
      const wide = label.length * 6.7 + 14;
      parts.push(svg("rect", { class: "halo", x: at[0] - wide / 2, y: at[1] - 10, width: wide, height: 20, rx: 6 }),
        svg("text", { class: "fine", x: at[0], y: at[1] + 4, "text-anchor": "middle" }, label));
    }
    if (arrow) {
      const [, x, y] = /^M([\d.-]+) ([\d.-]+)/.exec(path).map(Number);
      parts.push(svg("path", { class: `wire is-${done}`, d: `M${x + 5} ${y - 5}l6 5l-6 5` }));
    }
    return svg("g", {}, parts);
  }

  node(node) {
    const { x, y, w, h, action, type } = node;
    const done = action >= 0 ? ACTIONS[action] : "keep";
    const round = type === "bridge" ? 5 : type === "router" || type === "provider" ? 14 : h / 2;
    const label = `${type === "fold" ? "" : `${node.of.kind} `}${node.name}${action >= 0 ? `, ${DONE[action]}` : ""}${this.insideWords(node.inside)}`;
    const parts = [svg("rect", { class: "box", x, y, width: w, height: h, rx: round })];
    if (type === "bridge") parts.push(svg("path", { class: "glyph", d: `M${x + 14} ${y + 22}h22M${x + 14} ${y + 29}h22M${x + 19} ${y + 17}v5M${x + 31} ${y + 29}v5` }));
    if (type === "router" || type === "provider") parts.push(this.routerGlyph(x + 26, y + h / 2));
    const indent = type === "bridge" ? 46 : type === "router" || type === "provider" ? 50 : 14;
    const lines = [...(node.lines ?? []), ...(node.fine && h > 40 ? [node.fine] : [])];
    const first = y + h / 2 - lines.length * 8 + 5;
    parts.push(svg("text", { class: "name", x: x + indent, y: first }, cut(node.name, (w - indent - 12) / 7.9)));
    lines.forEach((line, number) => parts.push(svg("text", { class: "fine", x: x + indent, y: first + 18 * (number + 1) }, cut(line, (w - indent - 6) / 6.6))));
    if (node.fine && h <= 40 && node.name.length < 12) parts.push(svg("text", { class: "fine", x: x + w - 12, y: y + h / 2 + 4, "text-anchor": "end" }, cut(node.fine, (w - 26 - node.name.length * 7.5) / 6.6)));
    if (action >= 0 && action < 4) parts.push(this.badge(x + w - 6, y, action, SIGNS[action]));
    const inside = (node.inside ?? []).map((count, at) => [count, at]).filter(([count, at]) => count > 0 && at < 4);
    inside.reverse().forEach(([count, at], number) => parts.push(this.badge(x + w - 24 - number * 44, y + h, at, `${SIGNS[at]}${count}`)));
    return svg("g", {
      class: `node is-${done}`, tabindex: "0", role: "button", "aria-label": label,
      onclick: () => this.activate(node),
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        this.activate(node);
      },
    }, svg("title", {}, label), parts);
  }

  insideWords(inside) {
    const words = (inside ?? []).slice(0, 4).map((count, action) => count > 0 && `${count} ${DONE[action]}`).filter(Boolean);
    return words.length > 0 ? `; contains ${words.join(", ")}` : "";
  }

  routerGlyph(x, y) {
    return svg("g", {}, svg("circle", { class: "glyph", cx: x, cy: y, r: 13 }),
      svg("path", { class: "glyph", d: `M${x - 8} ${y - 3}h16l-4 -3.5M${x + 8} ${y + 3}h-16l4 3.5` }));
  }

  badge(x, y, action, words) {
    const wide = Math.max(20, words.length * 7 + 10);
    return svg("g", { class: `m-${ACTIONS[action]}` },
      svg("rect", { class: "mark", x: x - wide / 2, y: y - 9, width: wide, height: 18, rx: 9 }),
      svg("text", { class: "mark-sign", x, y: y + 4 }, words));
  }

  activate(node) {
    if (!node.fold) {
      this.choose(node.of.number);
      return;
    }
    const open = this.unfolded.get(this.tenantNumber);
    if (!open.delete(node.fold)) open.add(node.fold);
    this.draw();
    this.fit();
    (this.nodes.get(node.key) ?? this.nodes.get(`close:${node.key}`) ?? this.nodes.get(node.fold))?.focus();
  }

  // Marks the selected object and the search results.
  paint() {
    for (const node of this.plan.nodes) {
      const drawn = this.nodes.get(node.key);
      const own = node.fold ? node.items : [node.of];
      const found = this.needle.length > 0 && own.some((item) => matches(item.number, this.needle));
      drawn.classList.toggle("chosen", !node.fold && node.of.number === this.chosen);
      drawn.classList.toggle("found", found);
      drawn.classList.toggle("dim", this.needle.length > 0 && !found);
    }
  }

  place() {
    this.stage.setAttribute("transform", `translate(${this.view.x} ${this.view.y}) scale(${this.view.scale})`);
  }

  resized() {
    if (this.plan && this.element.clientWidth > 0 && this.untouched) this.fit();
  }

  // Fits the whole drawing if it stays readable; else its top.
  fit() {
    const { clientWidth } = this.element;
    // The legend stands below.
    const clientHeight = this.element.clientHeight - 34;
    if (!this.plan || clientWidth === 0) return;
    const boxes = this.plan.nodes;
    const left = Math.min(...boxes.map((node) => node.x)) - 40;
    const right = Math.max(...boxes.map((node) => node.x + node.w)) + 40;
    const [wide, high] = [right - left, this.plan.height + 56];
    const scale = Math.min(1.15, clientWidth / wide, clientHeight / high);
    this.view = { scale, x: (clientWidth - wide * scale) / 2 - left * scale, y: Math.max(28 * scale, (clientHeight - high * scale) / 2 + 28 * scale) };
    this.untouched = true;
    this.place();
  }

  zoom(factor, x = this.element.clientWidth / 2, y = this.element.clientHeight / 2) {
    const scale = Math.min(4, Math.max(0.05, this.view.scale * factor));
    const real = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * real, y: y - (y - this.view.y) * real };
    this.untouched = false;
    this.place();
  }

  move(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.untouched = false;
    this.place();
  }

  wheel(event) {
    event.preventDefault();
    const box = this.svg.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - box.left, event.clientY - box.top);
  }

  grab(event) {
    if (event.button !== 0) return;
    let [x, y] = [event.clientX, event.clientY];
    let moved = false;
    const drag = (next) => {
      if (!moved && Math.hypot(next.clientX - x, next.clientY - y) < 4) return;
      moved = true;
      this.svg.classList.add("moving");
      this.move(next.clientX - x, next.clientY - y);
      [x, y] = [next.clientX, next.clientY];
    };
    const drop = () => {
      this.svg.classList.remove("moving");
      window.removeEventListener("pointermove", drag);
      window.removeEventListener("pointerup", drop);
      window.removeEventListener("pointercancel", drop);
      // A drag that ends on a node selects nothing.
      if (moved) this.svg.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
      if (moved) setTimeout(() => this.svg.dispatchEvent(new Event("click")), 0);
    };
    window.addEventListener("pointermove", drag);
    window.addEventListener("pointerup", drop);
    window.addEventListener("pointercancel", drop);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key in moves) this.move(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function cut(words, most) {
  const room = Math.max(3, Math.floor(most));
  return words.length > room ? `${words.slice(0, room - 1)}…` : words;
}
