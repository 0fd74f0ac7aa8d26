// A list of any length that draws only the visible rows.

class List {
  // `draw(item)` gives a row's content; `choose(item)` is called when a row is selected.
  constructor(label, height, draw, choose) {
    this.height = height;
    this.draw = draw;
    this.choose = choose;
    this.items = [];
    this.at = -1;
    this.rows = new Map();
    this.prefix = `list${List.made = (List.made ?? 0) + 1}`;
    this.space = el("div", { class: "space", role: "presentation" });
    this.element = el("div", {
      class: "list", role: "listbox", tabindex: "0", "aria-label": label,
      onscroll: () => this.refresh(),
      onkeydown: (event) => this.key(event),
      onclick: (event) => this.click(event),
    }, this.space);
    new ResizeObserver(() => this.refresh()).observe(this.element);
  }

  show(items, at = -1) {
    this.items = items;
    this.at = at;
    this.space.style.height = `${items.length * this.height}px`;
    this.rows.forEach((row) => row.remove());
    this.rows.clear();
    this.refresh();
    if (at >= 0) this.reveal(at);
  }

  refresh() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / this.height) - 4);
    const seen = Math.ceil(this.element.clientHeight / this.height) + 8;
    const last = Math.min(this.items.length, first + seen);
    for (const [number, row] of this.rows) {
      if (number < first || number >= last) {
        row.remove();
        this.rows.delete(number);
      }
    }
    for (let number = first; number < last; number++) {
      if (this.rows.has(number)) continue;
      const row = el("div", {
        class: "row", role: "option", id: `${this.prefix}-${number}`, "data-number": number,
        "aria-selected": String(number === this.at), "aria-setsize": this.items.length, "aria-posinset": number + 1,
      }, this.draw(this.items[number]));
      row.style.top = `${number * this.height}px`;
      row.style.height = `${this.height}px`;
      this.rows.set(number, row);
      this.space.append(row);
    }
    if (this.rows.has(this.at)) this.element.setAttribute("aria-activedescendant", `${this.prefix}-${this.at}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  reveal(number) {
    const top = number * this.height;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.height > scrollTop + clientHeight) this.element.scrollTop = top + this.height - clientHeight;
    this.refresh();
  }

  mark(number) {
    this.rows.get(this.at)?.setAttribute("aria-selected", "false");
    this.at = number;
    if (number >= 0) this.reveal(number);
    this.rows.get(number)?.setAttribute("aria-selected", "true");
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (plain && event.key in steps && this.items.length > 0) {
      event.preventDefault();
      this.pick(Math.min(this.items.length - 1, Math.max(0, this.at + steps[event.key])));
    } else if (event.key === "Enter" && this.at >= 0) {
      event.preventDefault();
      this.choose(this.items[this.at], true);
    }
  }

  click(event) {
    const row = event.target.closest(".row");
    if (row) this.pick(Number(row.dataset.number));
  }

  pick(number) {
    this.mark(number);
    this.choose(this.items[number], false);
  }
}
