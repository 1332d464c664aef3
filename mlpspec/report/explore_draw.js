// What pictures are made of. A picture is SVG with its looks in attributes, so that it can be saved
// as it is; only surfaces in the plane are painted on a canvas and put into the SVG as an image.

const INK = "#1f2a36", SOFT = "#5b6670", LINE = "#d5dade";
const INPUT = "#0072B2", OUT = "#c8102e", PICKED = "#f2a900";
const FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

const tag = (name, attributes, content = "") => {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`);
  return `<${name}${written.join("")}>${content}</${name}>`;
};
const fixed = value => Number(value.toFixed(1));
const line = (x1, y1, x2, y2, more) =>
  tag("line", { x1: fixed(x1), y1: fixed(y1), x2: fixed(x2), y2: fixed(y2), ...more });
const dot = (x, y, r, more) => tag("circle", { cx: fixed(x), cy: fixed(y), r: fixed(r), ...more });
const box = (x, y, width, height, more = {}) => tag("rect", {
  x: fixed(x), y: fixed(y), width: fixed(width), height: fixed(height), ...more,
});
const path = (points, more) => {
  const known = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const d = `M${known.map(([x, y]) => `${fixed(x)} ${fixed(y)}`).join("L")}`;
  return known.length > 1 ? tag("path", { d, fill: "none", ...more }) : "";
};
const group = (part, more = {}) => tag("g", { "data-part": part, ...more });
const clip = (id, shape) => tag("clipPath", { id }, shape);

/** Text with a white edge, so that it can be read on whatever it lies. */
const text = (x, y, content, more = {}) => tag("text", {
  x: fixed(x), y: fixed(y), "font-size": 11.5, fill: SOFT, stroke: "#fff", "stroke-width": 3,
  "paint-order": "stroke", "stroke-linejoin": "round", ...more,
}, escaped(content));
const MIDDLE = { "text-anchor": "middle" }, END = { "text-anchor": "end" };

const svg = (width, height, label, content) => tag("svg", {
  xmlns: "http://www.w3.org/2000/svg", class: "plot", width, height,
  viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": escaped(label),
  "font-family": FONT,
}, content);

/** A function from values to places between two ends. */
function scale(low, high, from, to, log) {
  const of = log ? Math.log10 : v => v, a = of(low), b = of(high);
  return value => from + (to - from) * (b > a ? (of(value) - a) / (b - a) : 0.5);
}

function ticks(low, high, log, most) {
  const found = [];
  if (log) {
    const first = Math.floor(Math.log10(low) + 1e-9), last = Math.ceil(Math.log10(high) - 1e-9);
    const each = Math.max(1, Math.ceil((last - first) / most));
    for (let exponent = first; exponent <= last; exponent += each) found.push(10 ** exponent);
    return found.filter(v => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
  }
  const rough = (high - low) / most || 1, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(f => f * size).find(s => s >= rough * 0.999);
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** Training time is drawn as log(step + 1). */
const late = step => Math.log10(step + 1);
const timeTicks = last => {
  const powers = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].filter(step => step < 0.6 * last);
  return [0, ...powers, ...(last ? [last] : [])];
};

/** A neuron's mark: filled inside the hull, hollow and red outside, filled and red if expelled. */
function mark(x, y, { out, expelled, picked }, radius) {
  const halo = picked ? dot(x, y, radius + 4, { fill: PICKED }) : "";
  const fill = expelled ? OUT : out ? "#fff" : INK;
  const edge = { stroke: out ? OUT : "#fff", "stroke-width": out ? 2 : 0.8 };
  return halo + dot(x, y, out ? radius - 0.3 : radius, { fill, ...edge });
}

function marksLegend(plane) {
  const input = plane ? dot(6, 9, 4, { fill: INPUT })
    : line(6, 2, 6, 16, { stroke: INPUT, "stroke-width": 2 });
  const entries = [
    [input, "input"],
    [box(1, 3, 14, 12, { fill: INPUT, opacity: 0.14 }), "their hull"],
    [mark(6, 9, {}, 4.5), "prototype"],
    [mark(6, 9, { out: true }, 4.5), "outside the hull"],
    [mark(6, 9, { out: true, expelled: true }, 4.5),
      "expelled: its ridge has left the data, too (known at the end)"],
    [mark(9, 9, { picked: true }, 4.5), "the chosen neuron: select another in the picture"],
  ];
  return entries.map(([drawn, name]) =>
    `<span class="entry">${svg(18, 18, name, drawn)}${name}</span>`).join("");
}

/** Red above zero, blue below, white at zero; parts of 255. */
function shade(value) {
  const v = Math.max(-1, Math.min(1, value)), full = v > 0 ? [178, 24, 43] : [33, 102, 172];
  return full.map(c => Math.round(255 + (c - 255) * Math.abs(v)));
}

/** The values of a square grid as an image, from -most to most. */
function painted(grid, values, most) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = grid;
  const context = canvas.getContext("2d"), pixels = context.createImageData(grid, grid);
  values.forEach((value, i) => pixels.data.set([...shade(value / most), 255], 4 * i));
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

const describe = run => {
  const out = sum(outside(run, run.steps.length - 1));
  return `${style(run.label)[1]}, N = ${run.n}, seed ${run.cells.seed}: prototypes and inputs; ` +
    `${out} of ${run.k} end outside the hull`;
};

/** What a stage draws of a neuron at a moment: its place, and how it is marked. */
function marksAt(run, step, picked) {
  const t = momentAt(run.steps, step), at = places(run, t), out = outside(run, t);
  const last = t === run.steps.length - 1;
  const marks = Array.from({ length: run.k }, (_, j) => ({
    j, point: at.subarray(j * run.d, (j + 1) * run.d), out: out[j], picked: j === picked,
    expelled: last && run.expelled[j] > 0,
  }));
  // What is marked lies on top.
  marks.sort((a, b) => a.picked - b.picked || a.out - b.out);
  return { t, last, marks };
}
