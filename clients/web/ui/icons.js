// Icons, 24 by 24, and drawings that stand in for pictures, 48 by 48, in the colour of the text around them.

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  logo: "M3.5 7.5h7.5v13H3.5zM13 3.5h7.5v13H13z",
  shop: "M4 9l1.5-5h13L20 9M4 9v11h16V9M4 9a2.7 2.7 0 005.3 0 2.7 2.7 0 005.4 0A2.7 2.7 0 0020 9M10 20v-5h4v5",
  cart: "M3 4h2.5l2.2 11h10.1l2-8H6.3M9 20h.01M17 20h.01",
  orders: "M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6",
  wallet: "M4 7h15a1 1 0 011 1v11a1 1 0 01-1 1H5a1 1 0 01-1-1zm0 0l11-3v3M16 13.5h.01",
  account: "M12 12a4 4 0 100-8 4 4 0 000 8zM4.5 20.5c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
  admin: "M12 3l8 3v6c0 4.5-3.2 7.7-8 9-4.8-1.3-8-4.5-8-9V6zM9 12l2 2 4-4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  dot: "M12 12h.01",
  alert: "M12 4l9 16H3zM12 10v4M12 17h.01",
  search: "M11 18a7 7 0 100-14 7 7 0 000 14zM20 20l-4-4",
  back: "M15 5l-7 7 7 7",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 14.8a2.8 2.8 0 100-5.6 2.8 2.8 0 000 5.6z",
  close: "M6 6l12 12M18 6L6 18",
  truck: "M2.5 6h11.5v10H2.5zM14 9.5h4l3.5 3.5v3H14M7 19a2 2 0 100-4 2 2 0 000 4zM17.5 19a2 2 0 100-4 2 2 0 000 4z",
  undo: "M8 5L4 9l4 4M4 9h10a5.5 5.5 0 010 11H8",
  enlarge: "M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7",
  plus: "M12 6v12M6 12h12",
  minus: "M6 12h12",
};

/** @typedef {keyof typeof PATHS} IconName */

/** @type {[RegExp, string][]} the first that matches counts */
const DRAWINGS = [
  [/\b(kitchen|cook|pan|kettle)/i, "M10 20h24v12a6 6 0 01-6 6H16a6 6 0 01-6-6zM34 24h4a3 3 0 010 8h-4M17 14c0-3 2-3 2-6M25 14c0-3 2-3 2-6"],
  [/\b(light|lamp)/i, "M17 8h14l6 14H11zM24 22v16M16 40h16"],
  [/\b(tea|coffee|cup)/i, "M10 18h22v10a9 9 0 01-9 9h-4a9 9 0 01-9-9zM32 20h3a4 4 0 010 9h-3M8 41h28"],
  [/\b(bed|pillow|blanket)/i, "M6 38V14M6 32h36v6M42 32v-6a6 6 0 00-6-6H18v12M12 20a3 3 0 100 6 3 3 0 000-6"],
  [/\b(bath|soap|towel)/i, "M6 24h36v4a10 10 0 01-10 10H16A10 10 0 016 28zM12 24V12a4 4 0 018 0M14 38v3M34 38v3"],
  [/\b(garden|plant)/i, "M14 28h20l-3 12H17zM24 28V16M24 18c0-6 4-9 10-9 0 6-4 9-10 9M24 22c0-5-3-8-9-8 0 5 3 8 9 8"],
  [/\b(office|paper|book|pen)/i, "M12 8h20a4 4 0 014 4v28H16a4 4 0 01-4-4zM12 36a4 4 0 014-4h20M19 16h10M19 22h10"],
  [/\b(cycl|bike)/i, "M13 25a8 8 0 100 16 8 8 0 000-16zM35 25a8 8 0 100 16 8 8 0 000-16zM13 33l8-16h10l4 16M21 17l6 16h-14M18 17h6M31 17v-4h4"],
  [/\b(hik|tent|outdoor)/i, "M4 40l20-30 20 30zM24 10v30M24 22l9 18M24 22l-9 18"],
  [/\b(music|sound|headphones|ukulele)/i, "M18 34V12l18-4v22M18 34a5 5 0 11-5-5 5 5 0 015 5zM36 30a5 5 0 11-5-5 5 5 0 015 5z"],
  [/\b(toy|game|puzzle)/i, "M8 24h14v16H8zM26 24h14v16H26zM17 8h14v16H17z"],
  [/\b(cloth|shirt|wear|sock)/i, "M17 8l-11 7 4 9 5-3v19h18V21l5 3 4-9-11-7a7 7 0 01-14 0z"],
  [/\b(travel|bag|case)/i, "M8 16h32v22H8zM18 16v-6h12v6M16 16v22M32 16v22"],
  [/\b(bak|cake)/i, "M10 24h28v14H10zM10 30c4 4 5-2 9 0s5 3 9 0 6 4 10 0M24 24v-8M24 12a2 2 0 100-4 2 2 0 000 4zM6 38h36"],
  [/\b(storage|shelf|box|furniture)/i, "M8 8h32v32H8zM8 24h32M21 16h6M21 32h6"],
  [/\b(pet|dog|cat)/i, "M24 24c6 0 10 5 10 10 0 7-7 4-10 4s-10 3-10-4c0-5 4-10 10-10zM12 16a3 4 0 100 8 3 4 0 000-8zM36 16a3 4 0 100 8 3 4 0 000-8zM19 8a3 4 0 100 8 3 4 0 000-8zM29 8a3 4 0 100 8 3 4 0 000-8z"],
];
const ANYTHING = [
  "M8 16l16-8 16 8v18l-16 8-16-8zM8 16l16 8 16-8M24 24v18M16 12l16 8",
  "M8 26V10h16l17 17-15 15zM17 16a2 2 0 100 5 2 2 0 000-5z",
  "M9 22h30v18H9zM7 15h34v7H7zM24 15v25M24 15c-3-8-11-8-11-4s6 4 11 4c5 0 11 0 11-4s-8-4-11 4z",
  "M6 20h36l-4 20H10zM14 20l7-12M34 20l-7-12M18 27v7M24 27v7M30 27v7",
];

/** @param {IconName} name */
export function icon(name) {
  const svg = figure("icon", 24, PATHS[name]);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

/** A drawing of the kind of thing. @param {string} category @param {string} [name] stands for a category that tells nothing */
export const drawing = (category, name = "") => figure("drawing", 48,
  find(category) ?? find(name) ?? ANYTHING[[...category].length % ANYTHING.length] ?? "");

/** @param {string} words */
const find = (words) => DRAWINGS.find(([kind]) => kind.test(words))?.[1];

/** @param {string} kind @param {number} side @param {string} line */
function figure(kind, side, line) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
  svg.setAttribute("class", kind);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", line);
  svg.append(path);
  return svg;
}
