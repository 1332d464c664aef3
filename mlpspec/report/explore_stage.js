// Drawing: every picture is SVG with its looks in attributes, so that it can be saved as it is;
// only surfaces in the plane are painted on a canvas, and put into the SVG as an image.

const INK = "#1f2a36", SOFT = "#5b6670", LINE = "#d5dade", INPUT = "#0072B2", OUT = "#c8102e";
const PICKED = "#f2a900", FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

const tag = (name, attributes, content = "") =>
  `<${name} ${Object.entries(attributes).map(([a, v]) => `${a}="${v}"`).join(" ")}>${content}</${name}>`;
const fixed = value => Number(value.toFixed(1));
const line = (x1, y1, x2, y2, more) =>
  tag("line", { x1: fixed(x1), y1: fixed(y1), x2: fixed(x2), y2: fixed(y2), ...more });
const path = (points, more) => {
  const known = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  if (known.length < 2) return "";
  return tag("path", { d: "M" + known.map(([x, y]) => `${fixed(x)} ${fixed(y)}`).join("L"), fill: "none", ...more });
};
/** Text with a white edge, so that it can be read on whatever it lies. */
const text = (x, y, content, more = {}) => tag("text", {
  x: fixed(x), y: fixed(y), "font-size": 11.5, fill: SOFT, stroke: "#fff", "stroke-width": 3,
  "paint-order": "stroke", "stroke-linejoin": "round", ...more,
}, escaped(content));
const svg = (width, height, label, content) => tag("svg", {
  xmlns: "http://www.w3.org/2000/svg", class: "plot", width, height,
  viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": escaped(label),
  "font-family": FONT,
}, content);

function scale(low, high, from, to, log) {
  const of = log ? Math.log10 : v => v, a = of(low), b = of(high);
  return value => from + (to - from) * (b > a ? (of(value) - a) / (b - a) : 0.5);
}

function ticks(low, high, log, most) {
  const found = [];
  if (log) {
    const first = Math.floor(Math.log10(low) + 1e-9), last = Math.ceil(Math.log10(high) - 1e-9);
    const each = Math.max(1, Math.ceil((last - first) / most));
    for (let power = first; power <= last; power += each) found.push(10 ** power);
  } else {
    const rough = (high - low) / most || 1, size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(f => f * size).find(s => s >= rough * 0.999);
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
      found.push(Number((i * step).toPrecision(12)));
    }
  }
  return found.filter(v => v >= low * (1 - 1e-9) - (log ? 0 : 1e-12) && v <= high + Math.abs(high) * 1e-9);
}

/** Ticks of training time, which is drawn as log(step + 1). */
const timeTicks = last =>
  [0, ...[1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].filter(s => s < 0.6 * last), last].filter((s, i) => !i || s);
const late = step => Math.log10(step + 1);

/** A neuron's mark at a place: filled inside the hull, hollow and red outside, filled if expelled. */
const mark = (x, y, out, expelled, radius, picked) =>
  (picked ? tag("circle", { cx: fixed(x), cy: fixed(y), r: radius + 4, fill: PICKED }) : "") +
  tag("circle", {
    cx: fixed(x), cy: fixed(y), r: out ? radius - 0.3 : radius, fill: expelled ? OUT : out ? "#fff" : INK,
    stroke: out ? OUT : "#fff", "stroke-width": out ? 2 : 0.8,
  });

function marksLegend(plane) {
  const entries = [
    [14, (x, y) => plane ? tag("circle", { cx: x + 5, cy: y, r: 4, fill: INPUT }) : line(x + 5, y - 7, x + 5, y + 7, { stroke: INPUT, "stroke-width": 2 }), "input"],
    [16, (x, y) => tag("rect", { x, y: y - 6, width: 14, height: 12, fill: INPUT, opacity: 0.14 }), "their hull"],
    [14, (x, y) => mark(x + 5, y, false, false, 4.5), "prototype"],
    [14, (x, y) => mark(x + 5, y, true, false, 4.5), "outside the hull"],
    [14, (x, y) => mark(x + 5, y, true, true, 5), "expelled: its ridge has left the data, too (known at the end)"],
    [16, (x, y) => mark(x + 7, y, false, false, 4.5, true), "the chosen neuron: select another in the picture"],
  ];
  return entries.map(([width, draw, name]) =>
    `<span class="entry">${svg(width + 2, 18, name, draw(1, 9))}${name}</span>`).join("");
}

/** A run whose inputs lie on a line: time runs down, what it ends in stands below. */
class LineStage {
  constructor(place, run, width, name, beside = run) {
    this.run = run;
    this.width = width;
    const small = width < 480, { middle, reach, x: inputs, y: targets } = run.data;
    this.radius = run.k > 60 || small ? 3.2 : 4.6;
    const left = small ? 46 : 52, right = small ? 10 : 16;
    const [low, high] = [middle[0] - reach, middle[0] + reach];
    this.x = scale(low, high, left, width - right);
    this.low = low;
    this.high = high;
    this.edges = [left, width - right];
    let y = 14;
    const rows = run.recorded
      ? { rail: 14, paths: small ? (beside === run ? 200 : 150) : Math.max(240, Math.min(330, width * 0.42)) } : { paths: 22 };
    Object.assign(rows, { match: small ? 36 : 46, heard: small ? 46 : 70, fit: small ? 68 : 112 });
    this.row = {};
    for (const [row, height] of Object.entries(rows)) {
      this.row[row] = [y, y + height];
      y += height + (row === "rail" || row === "paths" ? 0 : row === "heard" ? 12 : 6);
    }
    const height = y + 34, end = run.steps.at(-1), last = run.steps.length - 1;
    this.time = scale(0, late(end) || 1, this.row.paths[0] + 6, this.row.paths[1] - 6);
    const [a, b] = hull(run.data).map(this.x), out = this.out = outside(run, last), { row } = this;
    const clip = `${name}-clip`, clipFit = `${name}-fit`;
    const pieces = [tag("rect", {
      x: fixed(a), y: 14, width: fixed(Math.max(b - a, 1)), height: y - 20, fill: INPUT, opacity: 0.1,
    })];
    if (run.recorded) {
      for (const step of timeTicks(end)) {
        const at = this.time(late(step));
        pieces.push(line(left, at, width - right, at, { stroke: LINE, "stroke-width": 0.8 }));
        pieces.push(text(left - 6, at + 4, number(step), { "text-anchor": "end" }));
      }
      pieces.push(text(left - 6, row.rail[0] + 4, "step", { "text-anchor": "end" }));
      for (const v of inputs) {
        pieces.push(line(this.x(v), row.rail[0], this.x(v), row.rail[1], { stroke: INPUT, "stroke-width": 1.4 }));
      }
      // Faint as a whole, strong up to the moment that is shown.
      const { k } = run, all = run.steps.map((_, t) => places(run, t));
      const paths = Array.from({ length: k }, (_, j) => path(
        run.steps.map((step, t) => [this.inFrame(all[t][j]), this.time(late(step))]),
        { stroke: out[j] ? OUT : INK, "stroke-width": small || k > 60 ? 0.9 : 1.3 }));
      pieces.push(tag("clipPath", { id: clip }, tag("rect", { x: 0, y: 0, width, height: 10, "data-part": "past" })));
      pieces.push(tag("g", { opacity: 0.17 }, paths.join("")));
      pieces.push(tag("g", { "data-part": "picked-path" }));
      pieces.push(tag("g", { "clip-path": `url(#${clip})`, opacity: 0.75 }, paths.join("")));
    }
    // What it ended in: pairs, responses, fit.
    const ends = prototypes(run), bottom = row.match[1] - 12;
    run.pairs[0].forEach((n, i) => {
      const j = run.pairs[1][i];
      pieces.push(line(this.inFrame(ends[j]), row.match[0], this.x(inputs[n]), bottom, {
        stroke: out[j] ? OUT : INK, "stroke-width": 0.9, opacity: 0.55, "data-pair": j,
      }));
    });
    for (const v of inputs) {
      pieces.push(line(this.x(v), bottom, this.x(v), row.match[1], { stroke: INPUT, "stroke-width": 1.4 }));
    }
    pieces.push(text(left - 6, bottom + 10, "inputs", { "text-anchor": "end" }));
    const { w, b: offset, s, p } = parts(run), tall = scale(0, 1, row.heard[1], row.heard[0] + 2);
    this.curve = j => {
      const slope = w ? w[j] : s[j], z0 = w ? offset[j] : -s[j] * p[j];
      const [from, to] = [-2.7, 2.7].map(z => (z - z0) / slope).sort((g, h) => g - h);
      const begin = Math.max(from, low), stop = Math.min(to, high);
      if (!(stop > begin)) return null;
      return Array.from({ length: 49 }, (_, i) => {
        const at = begin + (stop - begin) * i / 48;
        return [this.x(at), tall(Math.exp(-Math.min((slope * at + z0) ** 2, 340)))];
      });
    };
    pieces.push(line(left, row.heard[1], width - right, row.heard[1], { stroke: LINE }));
    for (let j = 0; j < run.k; j++) {
      const curve = this.curve(j);
      if (curve) pieces.push(path(curve, { stroke: out[j] ? OUT : INK, "stroke-width": 1, opacity: run.k > 30 ? 0.35 : 0.6 }));
    }
    pieces.push(tag("g", { "data-part": "picked-response" }));
    pieces.push(text(left + 2, row.heard[0] + 4, "responses at the end"));
    const xs = Float64Array.from({ length: 501 }, (_, i) => low + (high - low) * i / 500);
    const { f } = respond(run, xs), [from, to] = hull(run.data);
    // Of two runs on the same data both fits have the same scale.
    const both = beside.data === run.data && beside !== run ? [f, respond(beside, xs).f] : [f];
    const seen = [...targets, ...both.flatMap(g => Array.from(g).filter((_, i) => xs[i] >= from && xs[i] <= to))];
    const least = Math.min(...seen), most = Math.max(...seen), pad = 0.12 * (most - least) || 1;
    const up = scale(least - pad, most + pad, row.fit[1], row.fit[0]);
    pieces.push(tag("clipPath", { id: clipFit }, tag("rect", { x: left, y: row.fit[0], width: width - right - left, height: row.fit[1] - row.fit[0] })));
    pieces.push(path(Array.from(f, (v, i) => [this.x(xs[i]), Math.max(-1e4, Math.min(1e4, up(v)))]), { stroke: look(run.label)[0], "stroke-width": 2, "clip-path": `url(#${clipFit})` }));
    inputs.forEach((v, i) => pieces.push(tag("circle", { cx: fixed(this.x(v)), cy: fixed(up(targets[i])), r: run.n > 60 ? 2.2 : 3.2, fill: INPUT, stroke: "#fff", "stroke-width": 0.7 })));
    for (const v of ticks(least - pad, most + pad, false, 3)) {
      pieces.push(text(left - 6, up(v) + 4, number(v), { "text-anchor": "end" }));
    }
    pieces.push(text(left + 2, row.fit[0] + 8, "fit at the end, targets"));
    pieces.push(line(left, row.fit[1], width - right, row.fit[1], { stroke: SOFT }));
    for (const v of ticks(low, high, false, small ? 4 : 6)) {
      pieces.push(line(this.x(v), row.fit[1], this.x(v), row.fit[1] + 4, { stroke: SOFT }));
      pieces.push(text(this.x(v), row.fit[1] + 16, number(v), { "text-anchor": "middle" }));
    }
    pieces.push(text((left + width - right) / 2, row.fit[1] + 31, "x", { "text-anchor": "middle" }));
    pieces.push(tag("g", { "data-part": "now" }));
    place.innerHTML = svg(width, height, describe(run), pieces.join(""));
    this.svg = place.firstElementChild;
    this.part = name => this.svg.querySelector(`[data-part="${name}"]`);
  }

  inFrame(value) {
    return Number.isNaN(value) ? this.edges[1] : this.x(Math.max(this.low, Math.min(this.high, value)));
  }

  move(step, picked) {
    const { run } = this, t = momentAt(run, step), at = places(run, t), out = outside(run, t);
    const y = run.recorded ? this.time(late(run.steps[t])) : this.row.paths[1] - 6, last = t === run.steps.length - 1;
    const pieces = run.recorded ? [line(...[this.edges[0], y, this.edges[1], y], { stroke: INK, "stroke-width": 1, opacity: 0.5 })] : [];
    this.part("past")?.setAttribute("height", fixed(y));
    const order = Array.from(at.keys()).sort((a, b) => (a === picked) - (b === picked) || out[a] - out[b]);
    for (const j of order) {
      if (at[j] >= this.low && at[j] <= this.high) {
        pieces.push(mark(this.x(at[j]), y, out[j], last && run.expelled[j], this.radius, j === picked));
      }
    }
    for (const [far, x, anchor, arrow] of [
      [Array.from(at).filter(p => p < this.low), this.edges[0], "start", n => `\u25c0 ${n}`],
      [Array.from(at).filter(p => !(p <= this.high)), this.edges[1], "end", n => `${n} \u25b6`],
    ]) {
      if (far.length) {
        const reach = number(anchor === "end" ? Math.max(...far) : Math.min(...far));
        pieces.push(text(x, y > 60 ? y - 8 : y + 16, arrow(`${far.length} beyond, to ${reach}`), { "text-anchor": anchor, fill: OUT, "font-weight": 600 }));
      }
    }
    this.part("now").innerHTML = pieces.join("");
    this.pick(picked);
  }

  pick(j) {
    const { run } = this, known = j !== null && j < run.k;
    for (const pair of this.svg.querySelectorAll("[data-pair]")) {
      const own = known && Number(pair.dataset.pair) === j;
      pair.setAttribute("stroke", own ? PICKED : this.out[Number(pair.dataset.pair)] ? OUT : INK);
      pair.setAttribute("stroke-width", own ? 3 : 0.9);
      pair.setAttribute("opacity", own ? 1 : 0.55);
    }
    const curve = known && this.curve(j), strong = { stroke: PICKED, "stroke-width": 3 };
    this.part("picked-response").innerHTML = curve ? path(curve, strong) : "";
    if (!run.recorded) return;
    this.part("picked-path").innerHTML = known
      ? path(run.steps.map((step, t) => [this.inFrame(places(run, t)[j]), this.time(late(step))]), { ...strong, "stroke-width": 5, opacity: 0.55 }) : "";
  }

  /** The neuron whose path passes nearest to a point of the picture, or null. */
  neuronAt(x, y, step) {
    const { run, row } = this;
    let t = momentAt(run, step);
    if (y > row.paths[1]) t = run.steps.length - 1;
    else if (run.recorded && Math.abs(y - this.time(late(run.steps[t]))) > 14) {
      run.steps.forEach((s, i) => {
        if (Math.abs(this.time(late(s)) - y) < Math.abs(this.time(late(run.steps[t])) - y)) t = i;
      });
    }
    const at = Array.from(places(run, t), p => Math.abs(this.inFrame(p) - x));
    const nearest = Math.min(...at);
    return nearest < 22 ? at.indexOf(nearest) : null;
  }
}

/** A run whose inputs lie in the plane: the plane as it is at a moment, and the fit at the end. */
class PlaneStage {
  constructor(place, run, width, name) {
    this.run = run;
    const small = width < 480, two = width > 620, { middle, reach, x: inputs, y: targets } = run.data;
    const side = two ? Math.min(0.58 * (width - 52), 620) : Math.min(width - 8, 560), top = 22;
    const lesser = two ? side * 0.72 : side;
    this.radius = small || run.k > 60 ? 3.6 : 5;
    this.side = side;
    const [cx, cy] = middle, half = reach;
    const axes = (left, y, size) => [scale(cx - half, cx + half, left, left + size), scale(cy - half, cy + half, y + size, y)];
    [this.x, this.y] = axes(4, top, side);
    this.name = name;
    this.top = top;
    this.middle = middle;
    this.half = half;
    const left = two ? side + 44 : 4, below = two ? top : top + side + 62;
    const [fx, fy] = axes(left, below, lesser), corners = hull(run.data);
    const height = Math.max(top + side, below + lesser + 12) + 28, pieces = [];
    const outline = (x, y) => tag("path", {
      d: "M" + corners.map(([a, b]) => `${fixed(x(a))} ${fixed(y(b))}`).join("L") + "Z",
      fill: INPUT, "fill-opacity": 0.1, stroke: INPUT, "stroke-opacity": 0.5,
    });
    const border = (x0, y0, size) => tag("rect", { x: fixed(x0), y: y0, width: fixed(size), height: fixed(size), fill: "none", stroke: LINE });
    const label = (x0, y0, size, x, y) => {
      for (const v of ticks(cx - half, cx + half, false, 4)) {
        pieces.push(text(x(v), y0 + size + 16, number(v), { "text-anchor": "middle" }));
      }
      for (const v of ticks(cy - half, cy + half, false, 4)) {
        pieces.push(text(x0 + 4, y(v) + 4, number(v)));
      }
    };
    pieces.push(tag("clipPath", { id: `${name}-plane` }, tag("rect", { x: 4, y: top, width: fixed(side), height: fixed(side) })));
    pieces.push(outline(this.x, this.y), border(4, top, side));
    pieces.push(text(4, 14, `prototypes${run.neuron === "ridge" ? " and ridges" : ""}, x\u2081 and x\u2082`));
    pieces.push(tag("g", { "clip-path": `url(#${name}-plane)` }, tag("g", { "data-part": "now" })));
    const points = this.points = [];
    for (let i = 0; i < inputs.length; i += 2) points.push([inputs[i], inputs[i + 1]]);
    for (const [a, b] of points) pieces.push(tag("circle", { cx: fixed(this.x(a)), cy: fixed(this.y(b)), r: this.radius - 1, fill: INPUT, stroke: "#fff", "stroke-width": 0.8 }));
    pieces.push(tag("g", { "data-part": "marks" }));
    label(4, top, side, this.x, this.y);
    // The fit: painted, with the targets in the same colours.
    const grid = 160, at = new Float64Array(2 * grid * grid);
    for (let i = 0; i < grid * grid; i++) {
      at[2 * i] = cx - half + 2 * half * (i % grid + 0.5) / grid;
      at[2 * i + 1] = cy + half - 2 * half * (Math.floor(i / grid) + 0.5) / grid;
    }
    const { f } = respond(run, at), most = Math.max(...targets.map(Math.abs)) || 1;
    pieces.push(tag("image", { href: painted(grid, f, most), x: fixed(left), y: below, width: fixed(lesser), height: fixed(lesser), preserveAspectRatio: "none" }));
    pieces.push(outline(fx, fy).replace('fill-opacity="0.1"', 'fill-opacity="0"'), border(left, below, lesser));
    points.forEach(([a, b], i) => pieces.push(tag("circle", { cx: fixed(fx(a)), cy: fixed(fy(b)), r: this.radius, fill: `rgb(${shade(targets[i] / most)})`, stroke: INK, "stroke-width": 1.2 })));
    pieces.push(tag("clipPath", { id: `${name}-second` }, tag("rect", { x: fixed(left), y: below, width: fixed(lesser), height: fixed(lesser) })));
    pieces.push(tag("g", { "clip-path": `url(#${name}-second)` }, tag("g", { "data-part": "picked-response" })));
    pieces.push(text(left, below - 8, "fit and targets at the end"));
    label(left, below, lesser, fx, fy);
    pieces.push(text(left, below + lesser + 32, `blue: ${MINUS}${number(most, 2)} or less, red: ${number(most, 2)} or more`));
    this.second = [fx, fy];
    place.innerHTML = svg(width, height, describe(run), pieces.join(""));
    this.svg = place.firstElementChild;
    this.part = part => this.svg.querySelector(`[data-part="${part}"]`);
  }

  /** The line through a point at a right angle to a direction, long enough for the frame. */
  ridge([x, y], point, direction, more) {
    const size = Math.hypot(...direction), far = 6 * this.half;
    if (!(size > 1e-9 * this.half)) return "";
    const [ux, uy] = [-direction[1] / size, direction[0] / size];
    // From the foot of the frame's middle, so that the ends stay near it.
    const along = (this.middle[0] - point[0]) * ux + (this.middle[1] - point[1]) * uy;
    const ends = [along - far, along + far].map(a => [x(point[0] + a * ux), y(point[1] + a * uy)]);
    return ends.flat().every(v => Math.abs(v) < 1e6) ? line(...ends.flat(), more) : "";
  }

  move(step, picked) {
    const { run } = this, t = momentAt(run, step), at = places(run, t), out = outside(run, t);
    const last = t === run.steps.length - 1, { w, s } = parts(run), under = [], over = [];
    let far = 0;
    for (let j = 0; j < run.k; j++) {
      const point = at.subarray(2 * j, 2 * j + 2), own = j === picked, colour = out[j] ? OUT : INK;
      if (Math.abs(point[0] - this.middle[0]) > this.half || Math.abs(point[1] - this.middle[1]) > this.half || Number.isNaN(point[0])) far++;
      if (run.neuron === "ridge") {
        // p is parallel to w; where only p is known, it is its direction.
        const direction = last && w ? w.subarray(2 * j, 2 * j + 2) : point;
        under.push(this.ridge([this.x, this.y], point, direction, { stroke: own ? PICKED : colour, "stroke-width": own ? 3 : 0.8, opacity: own ? 1 : 0.4 }));
      } else if (last) {
        const radius = Math.sqrt(Math.LN2) / Math.abs(s[j]) * this.side / (2 * this.half);
        if (radius < 1e5) under.push(tag("circle", { cx: fixed(this.x(point[0])), cy: fixed(this.y(point[1])), r: fixed(radius), fill: "none", stroke: own ? PICKED : colour, "stroke-width": own ? 3 : 0.8, opacity: own ? 1 : 0.4 }));
      }
      const trail = run.steps.slice(0, t + 1).map((_, i) => places(run, i).subarray(2 * j, 2 * j + 2));
      const drawn = trail.map(([a, b]) => [this.x(a), this.y(b)]).filter(([a, b]) => Math.abs(a) < 1e5 && Math.abs(b) < 1e5);
      if (drawn.length > 1) under.push(path(drawn, { stroke: own ? PICKED : colour, "stroke-width": own ? 4 : 1.3, opacity: own ? 0.8 : 0.55 }));
    }
    if (last) {
      run.pairs[0].forEach((n, i) => {
        const j = run.pairs[1][i], [a, b] = this.points[n];
        under.push(line(this.x(at[2 * j]), this.y(at[2 * j + 1]), this.x(a), this.y(b), { stroke: INPUT, "stroke-width": 1.2, "stroke-dasharray": "3 2" }));
      });
    }
    for (let j = 0; j < run.k; j++) {
      const [a, b] = [this.x(at[2 * j]), this.y(at[2 * j + 1])];
      if (a >= 4 && a <= 4 + this.side && b >= this.top && b <= this.top + this.side) over.push(mark(a, b, out[j], last && run.expelled[j], this.radius, j === picked));
    }
    if (far) over.push(text(this.side - 2, this.top + 16, `${far} beyond the frame`, { "text-anchor": "end", fill: OUT, "font-weight": 600 }));
    this.part("now").innerHTML = under.filter(piece => !/NaN|Infinity/.test(piece)).join("");
    this.part("marks").innerHTML = over.join("");
    const end = prototypes(run);
    this.part("picked-response").innerHTML = picked === null || picked >= run.k ? ""
      : run.neuron === "ridge"
        ? this.ridge(this.second, end.subarray(2 * picked, 2 * picked + 2), w.subarray(2 * picked, 2 * picked + 2), { stroke: PICKED, "stroke-width": 3 })
        : tag("circle", { cx: fixed(this.second[0](end[2 * picked])), cy: fixed(this.second[1](end[2 * picked + 1])), r: 7, fill: PICKED });
  }

  neuronAt(x, y, step) {
    const at = places(this.run, momentAt(this.run, step));
    const far = Array.from({ length: this.run.k }, (_, j) => Math.hypot(this.x(at[2 * j]) - x, this.y(at[2 * j + 1]) - y));
    const nearest = Math.min(...far);
    return nearest < 24 ? far.indexOf(nearest) : null;
  }
}

/** Red above zero, blue below, white at zero; parts of 255. */
const shade = value => {
  const v = Math.max(-1, Math.min(1, value)), size = Math.abs(v);
  return (v > 0 ? [178, 24, 43] : [33, 102, 172]).map(c => Math.round(255 + (c - 255) * size));
};

function painted(grid, values, most) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = grid;
  const context = canvas.getContext("2d"), pixels = context.createImageData(grid, grid);
  values.forEach((value, i) => pixels.data.set([...shade(value / most), 255], 4 * i));
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

/** Above two dimensions no picture is honest: the measurements and the terms say what there is. */
class NoStage {
  constructor(place, run) {
    this.svg = place;
    place.innerHTML = `<p class="note">Inputs have ${run.d} dimensions: positions are drawn on a line and in the plane only. See its numbers below, and the figure <code>hull</code> of the report.</p>`;
  }
  move() {}
  neuronAt() { return null; }
}

const stageOf = run => [, LineStage, PlaneStage][run.d] ?? NoStage;
const describe = run =>
  `${look(run.label)[1]}, N = ${run.n}, seed ${run.cells.seed}: prototypes and inputs; ` +
  `${sum(outside(run, run.steps.length - 1))} of ${run.k} end outside the hull`;
