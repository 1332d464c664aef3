// Saving a view as one picture, and what stands around the views. The page begins here.

const SAVED = "[data-save], .run h2, .count, .plot, .losses [aria-pressed=true]";

/** The view as SVG: its pictures where they stand, its headings and counts as text. */
function picture() {
  const frame = main.getBoundingClientRect(), pieces = [];
  let bottom = 0;
  [...main.querySelectorAll(SAVED)].forEach((element, i) => {
    const place = element.getBoundingClientRect();
    const x = place.left - frame.left, y = place.top - frame.top;
    if (!place.width) return;
    bottom = Math.max(bottom, y + place.height);
    if (!element.matches(".plot")) {
      pieces.push(textOf(element, x, y, place.width));
      return;
    }
    const copy = element.cloneNode(true);
    copy.setAttribute("x", fixed(x));
    copy.setAttribute("y", fixed(y));
    copy.removeAttribute("class");
    // Names of clips are of one picture.
    pieces.push(new XMLSerializer().serializeToString(copy).replace(/(id="|url\(#)/g, `$1v${i}-`));
    const entry = element.closest(".entry");
    if (entry) pieces.push(text(x + 22, y + 14, entry.textContent, { "font-size": 13 }));
  });
  const keys = shownRuns().map(run => `, ${run.key}`).join("");
  pieces.push(text(0, bottom + 22, `${DATA.study}${keys}; mlpspec ${DATA.version}`));
  const size = { width: Math.ceil(frame.width) + 24, height: Math.ceil(bottom) + 50 };
  const corner = { x: -12, y: -8 };
  return tag("svg", {
    xmlns: "http://www.w3.org/2000/svg", ...size, viewBox: `-12 -8 ${size.width} ${size.height}`,
    "font-family": FONT,
  }, tag("rect", { ...corner, ...size, fill: "#fff" }) + pieces.join(""));
}

/** The text of an element as lines of SVG that are about as wide. */
function textOf(element, x, y, wide) {
  const size = parseFloat(getComputedStyle(element).fontSize);
  const fits = Math.max(8, Math.floor(wide / (size * 0.52)));
  const lines = element.textContent.trim().match(new RegExp(`.{1,${fits}}(\\s|$)|\\S+`, "g")) ?? [];
  const looks = {
    "font-size": size, "font-weight": element.matches("h2") ? 600 : 400,
    fill: element.querySelector("i")?.style.backgroundColor ?? INK,
  };
  return lines.map((part, i) => text(x, y + size * (1.05 + 1.4 * i), part.trim(), looks)).join("");
}

function save() {
  const link = document.createElement("a"), what = shownRuns().map(run => run.key);
  const name = [DATA.study, ...(what.length ? what : [state.y])].join("-");
  link.href = URL.createObjectURL(new Blob([picture()], { type: "image/svg+xml" }));
  link.download = `${name.replace(/[^\w.-]+/g, "_")}.svg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 5000);
}

/** What the page does not show. */
function limitsOfThePage() {
  const recorded = RUNS.filter(run => run.recorded).length;
  return [
    `Nothing is trained here: it shows what was stored, ${number(RUNS.length)} of ` +
      `${number(DATA.runs)} runs` +
      (LEFT ? `; ${number(LEFT)} more, of later seeds, are left out to keep it below 4 MB` : "") +
      (DATA.failed ? `; ${number(DATA.failed)} failed` : "") +
      `. ${recorded === RUNS.length ? "All" : number(recorded)} of them were recorded while they ` +
      "trained.",
    "One run is an example. Tests, intervals, nulls and verdicts are in <code>report.html</code>.",
    "Between recorded moments nothing is known; straight lines join them. Positions on the way " +
      "are rounded to 1/16,000 of the width of the inputs, far from them more coarsely; final " +
      "parameters, responses and fits are exact.",
    "On the way only prototypes are known. Whether a neuron is <em>expelled</em> (its ridge has " +
      "left the data), its slope, its response and the input that it is matched with are shown " +
      "at the end alone. A ridge in the plane is drawn through its prototype, at a right angle " +
      "to the line from the origin.",
    "The frame is twice as wide as the inputs; prototypes beyond it are counted at its edge.",
    "Terms of the objective are those that were active, without their weights.",
    "Above two dimensions no positions are drawn.",
  ];
}

document.querySelector("h1").textContent = `${DATA.study} \u2013 explorer`;
document.querySelector("header p").textContent = DATA.question;
const nav = document.querySelector("nav");
nav.innerHTML = Object.entries(VIEWS).map(([view, name]) =>
  `<button type="button" data-view="${view}">${name}</button>`).join("") +
  '<span class="right"><button type="button" id="save">Save as SVG</button></span>';
nav.addEventListener("click", ({ target }) => {
  if (target.dataset.view) go({ view: target.dataset.view });
  else if (target.id === "save") save();
});
const shownKeys = Object.entries(KEYS).map(([key, [what]]) =>
  `<kbd>${key === " " ? "Space" : key.replace("Arrow", "")}</kbd> ${what}`);
document.querySelector("footer").innerHTML =
  "<details open><summary>What this page does not show</summary><ul>" +
  `${limitsOfThePage().map(each => `<li>${each}</li>`).join("")}</ul></details>` +
  `<details id="keys"><summary>Keys</summary><p>${shownKeys.join(" \u00b7 ")}</p></details>`;
readAddress();
draw();
