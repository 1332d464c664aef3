"use strict";
// What the page holds, and what a network computes. Nothing is trained here.

const DATA = JSON.parse(document.getElementById("data").textContent);

const decoded = (Kind, text = "") =>
  new Kind(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);

/** All runs, each with its cells of the table, data, final parameters (P,), the neuron that is
    matched with each input (N,), -1 for none, expelled neurons (K,), recorded steps (T,), rounded
    prototypes (T, K, D) and terms, [name, (T,)]. */
const RUNS = DATA.shown.map(held => {
  const cells = Object.fromEntries(DATA.columns.map((name, at) => [name, held.cells[at]]));
  const data = DATA.shared[held.data], recorded = "steps" in held;
  return {
    cells, data, recorded, key: cells.key, label: cells.losses,
    ...DATA.shared[held.neuron], // its name, and epsilon
    n: data.y.length, k: held.k, d: data.middle.length,
    params: decoded(Float64Array, held.params),
    matched: decoded(Int16Array, held.matched),
    expelled: decoded(Uint8Array, held.expelled),
    steps: recorded ? DATA.shared[held.steps] : [cells.steps_taken ?? 0],
    rounded: decoded(Int16Array, held.rounded),
    terms: Object.entries(held.terms ?? {}).map(
      ([name, text]) => [name, decoded(Float32Array, text)]),
  };
});
const BY_KEY = new Map(RUNS.map(run => [run.key, run]));

const once = compute => {
  const kept = new WeakMap();
  return of => {
    if (!kept.has(of)) kept.set(of, compute(of));
    return kept.get(of);
  };
};

/** The parameters of a run by their names, as views: slopes, places, heights and the constant. */
const parts = once(({ neuron, k, d, params }) => {
  const sizes = neuron === "ridge"
    ? { w: k * d, b: k, v: k, c: 1 } : { s: k, p: k * d, v: k, c: 1 };
  let at = 0;
  return Object.fromEntries(
    Object.entries(sizes).map(([name, size]) => [name, params.subarray(at, at += size)]));
});

/** Final prototypes (K, D). */
const prototypes = once(run => {
  const { k, d } = run, { w, b, p } = parts(run);
  if (run.neuron === "radial") return p;
  const found = new Float64Array(k * d);
  for (let j = 0; j < k; j++) {
    let size = run.epsilon;
    for (let e = 0; e < d; e++) size += w[j * d + e] ** 2;
    for (let e = 0; e < d; e++) found[j * d + e] = -b[j] * w[j * d + e] / size;
  }
  return found;
});

/** Slopes |w_k| or |s_k| (K,). */
const slopes = once(run => {
  const { w, s } = parts(run);
  return Float64Array.from({ length: run.k }, (_, j) =>
    s ? Math.abs(s[j]) : Math.hypot(...w.subarray(j * run.d, (j + 1) * run.d)));
});

/** Responses h (M, K) and outputs f (M,) of the final network at points (M, D). */
function respond(run, points) {
  const { k, d } = run, { w, b, s, p, v, c } = parts(run), m = points.length / d;
  const h = new Float64Array(m * k), f = new Float64Array(m).fill(c[0]);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < k; j++) {
      let square = 0;
      if (run.neuron === "ridge") {
        let z = b[j];
        for (let e = 0; e < d; e++) z += points[i * d + e] * w[j * d + e];
        square = z * z;
      } else {
        for (let e = 0; e < d; e++) square += (points[i * d + e] - p[j * d + e]) ** 2;
        square *= s[j] * s[j];
      }
      h[i * k + j] = Math.exp(-Math.min(square, 340));
      f[i] += v[j] * h[i * k + j];
    }
  }
  return { h, f };
}

/** Prototypes (K, D) at the recorded moment t: of the last one exactly, else as rounded. */
function places(run, t) {
  const ended = t === run.steps.length - 1 && run.cells.status === "ok";
  if (ended || !run.recorded) return prototypes(run);
  const { middle, reach } = run.data, size = run.k * run.d;
  return Float64Array.from(run.rounded.subarray(t * size, (t + 1) * size), (q, i) => {
    if (q === -32768) return NaN;
    const v = q / DATA.frame_steps;
    return middle[i % run.d] + reach * v / Math.max(1 - Math.abs(v), 1e-9);
  });
}

/** The last of recorded moments, which are steps, that is not after a step. */
const momentAt = (steps, step) => Math.max(0, steps.findLastIndex(each => each <= step));

/** The distance of a point from the hull, whose corners are in order around it; 0 inside. */
function hullDistance(corners, point) {
  if (point.length === 1) {
    const [[low], [high]] = corners;
    return Math.max(low - point[0], point[0] - high, 0);
  }
  let inside = corners.length > 2, nearest = Infinity;
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % corners.length];
    const ux = bx - ax, uy = by - ay, vx = point[0] - ax, vy = point[1] - ay;
    if (ux * vy - uy * vx < 0) inside = false;
    const along = Math.max(0, Math.min(1, (ux * vx + uy * vy) / (ux * ux + uy * uy || 1)));
    nearest = Math.min(nearest, Math.hypot(vx - along * ux, vy - along * uy));
  });
  return inside ? 0 : nearest;
}

/** Which prototypes (K,) lie outside the hull at a moment; the same rule as in `runs.csv`. */
function outside(run, t) {
  const at = places(run, t), { d } = run, { hull, tolerance } = run.data;
  return Array.from({ length: run.k }, (_, j) =>
    !(hullDistance(hull, at.subarray(j * d, (j + 1) * d)) <= tolerance));
}

/** Values in their order: numbers by size, words by the alphabet. */
const sorted = values => [...values].sort((a, b) =>
  (typeof a === "number" ? a - b : String(a).localeCompare(String(b))));
const sum = values => values.reduce((a, b) => a + b, 0);
const median = values => {
  const all = sorted(values), half = all.length >> 1;
  return all.length % 2 ? all[half] : (all[half - 1] + all[half]) / 2;
};

const MINUS = "\u2212", DASH = "\u2013";

/** A number as it is shown: to so many digits, "–" where it is undefined. */
function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return DASH;
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "\u221e" : `${MINUS}\u221e`;
  const size = Math.abs(value);
  let text;
  if (Number.isInteger(value) && size < 1e6) text = value.toLocaleString("en-US");
  else if (size && (size < 1e-3 || size >= 1e5)) {
    const [base, power] = value.toExponential(digits - 1).split("e");
    text = `${base.includes(".") ? base.replace(/\.?0+$/, "") : base}e${Number(power)}`;
  } else text = String(Number(value.toPrecision(digits)));
  return text.replace("-", MINUS).replace("e-", `e${MINUS}`);
}

const escaped = text => String(text).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const style = label => DATA.styles[label] ?? ["#666", label];
