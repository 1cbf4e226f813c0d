// Elements, numbers as text, scales, and what appears below a finger or a pointer.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a function as `onclick` listens, `undefined` leaves out. */
function make(name, attributes = {}, ...children) {
  const [tag, space] = name.startsWith("svg:") ? [name.slice(4), SVG] : [name, null];
  const element = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

/** Three digits. */
function digits(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

function duration(seconds) {
  for (const [factor, unit] of [[1e9, "ns"], [1e6, "µs"], [1e3, "ms"]]) {
    if (seconds * factor < 999.5) return `${digits(seconds * factor)} ${unit}`;
  }
  return `${digits(seconds)} s`;
}

/** A change in percent, with its sign. */
const change = (part) => `${part < 0 ? "−" : "+"}${(100 * Math.abs(part)).toFixed(1)} %`;

const times = (ratio) => (Number.isFinite(ratio) ? `${digits(ratio)}×` : "–");
const percent = (part) => (Number.isFinite(part) ? `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)} %` : "–");

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < 3) {
    count /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(count) ? count : digits(count)} ${units[unit]}`;
}

/** Powers of 2, as names of ticks. */
const short = (value) => (value >= 1 ? `${Math.round(value)}` : `1/${Math.round(1 / value)}`);

/** The n-th root of the product of n numbers. */
function geometricMean(values) {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** A scale that goes by doubling, with powers of 2 as ticks, at least `gap` pixels apart. */
function doubling(domain, range, gap) {
  const [low, high] = domain.map(Math.log2);
  const place = (value) => range[0] + ((Math.log2(value) - low) / (high - low || 1)) * (range[1] - range[0]);
  const step = Math.max(1, Math.ceil((gap * (high - low)) / Math.abs(range[1] - range[0])));
  const ticks = [];
  for (let i = Math.ceil(low - 1e-9); i <= high + 1e-9; i += 1) if (i % step === 0) ticks.push(2 ** i);
  return { place, ticks, back: (pixel) => 2 ** (low + ((pixel - range[0]) / (range[1] - range[0])) * (high - low)) };
}

/** An even scale with round ticks. */
function even([low, high], range, gap) {
  const place = (value) => range[0] + ((value - low) / (high - low || 1)) * (range[1] - range[0]);
  const wanted = ((high - low || 1) * gap) / Math.abs(range[1] - range[0]);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= wanted);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(+(i * step).toPrecision(12));
  return { place, ticks };
}

/** Moves places apart so that neighbours are `gap` apart at least, within `low` and `high`. */
function apart(items, gap, low, high) {
  const sorted = [...items].sort((a, b) => a.y - b.y);
  sorted.forEach((item, i) => {
    item.y = Math.max(item.y, i ? sorted[i - 1].y + gap : low);
  });
  for (let i = sorted.length - 1; i >= 0; i -= 1) {
    sorted[i].y = Math.min(sorted[i].y, i + 1 < sorted.length ? sorted[i + 1].y - gap : high);
  }
  return items;
}

/** A point's shape, so that colour is not all that tells series apart. */
function symbol(kind, x, y, r, attributes = {}) {
  const polygon = (points) =>
    make("svg:polygon", { points: points.map(([a, b]) => `${x + a * r},${y + b * r}`).join(" "), ...attributes });
  switch (kind % 6) {
    case 0: return make("svg:circle", { cx: x, cy: y, r, ...attributes });
    case 1: return polygon([[0, -1.2], [1.1, 0.8], [-1.1, 0.8]]);
    case 2: return polygon([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]);
    case 3: return polygon([[0, -1.3], [1.2, 0], [0, 1.3], [-1.2, 0]]);
    case 4: return polygon([[0, 1.2], [1.1, -0.8], [-1.1, -0.8]]);
    default: return polygon([[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4],
      [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]]);
  }
}

const tip = document.getElementById("tip");

/** Shows lines of [name, value] near a place of the window. */
function showTip(title, lines, x, y) {
  const rows = lines.map(([name, value]) => make("tr", {}, make("td", {}, name), make("td", {}, value)));
  tip.replaceChildren(make("b", {}, title), make("table", {}, make("tbody", {}, rows)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, x + 14), document.documentElement.clientWidth - width - 8);
  const above = y - height - 14;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 8 ? above : y + 18}px`;
}

function hideTip() {
  tip.hidden = true;
}

/** Draws into a place again whenever its width changes. */
function responsive(place, draw) {
  let drawn = 0;
  const redraw = (force) => {
    const width = Math.floor(place.clientWidth);
    if (width > 0 && (force || width !== drawn)) {
      drawn = width;
      place.replaceChildren(draw(width));
    }
  };
  new ResizeObserver(() => redraw(false)).observe(place);
  redraw(true);
  return () => redraw(true);
}

/** What a pointer or a finger on a plot is nearest to; leaving it ends that. */
function nearest(svg, points, reach, show) {
  const mark = make("svg:g", { "pointer-events": "none" });
  svg.append(mark);
  const end = () => {
    mark.replaceChildren();
    hideTip();
  };
  const find = (event) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const distance = (point) => Math.hypot(point.x - x, point.y - y);
    const best = points.reduce((a, b) => (a && distance(a) <= distance(b) ? a : b), undefined);
    if (!best || distance(best) > reach) return end();
    mark.replaceChildren(...show(best).filter(Boolean));
    showTip(best.title, best.lines, box.left + best.x, box.top + best.y);
  };
  svg.addEventListener("pointermove", find);
  svg.addEventListener("pointerdown", find);
  // A finger leaves at once; what it has found stays until the next tap.
  svg.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && end());
  document.addEventListener("pointerdown", (event) => !svg.contains(event.target) && mark.hasChildNodes() && end());
  window.addEventListener("scroll", end, { passive: true });
}

/** Buttons of which one is chosen, or (`many`) any number. */
function chips(label, options, chosen, many, changed) {
  const group = make("div", { class: "chips", role: "group", "aria-label": label });
  for (const { key, name, mark } of options) {
    const button = make("button", { type: "button", "aria-pressed": chosen.has(key) }, mark, name);
    button.addEventListener("click", () => {
      if (!many) {
        chosen.clear();
        chosen.add(key);
      } else if (!chosen.delete(key)) {
        chosen.add(key);
      }
      [...group.children].forEach((child, i) => child.setAttribute("aria-pressed", chosen.has(options[i].key)));
      changed();
    });
    group.append(button);
  }
  return group;
}

/** A list to choose from. */
function choice(label, options, value, changed) {
  const select = make("select", { onchange: () => changed(select.value) },
    options.map(([key, name]) => make("option", { value: key, selected: key === value }, name)));
  return make("label", {}, label, select);
}
