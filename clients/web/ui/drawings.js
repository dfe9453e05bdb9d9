// Line drawings that stand in for pictures: of the kind of thing, told by its words.

const SVG = "http://www.w3.org/2000/svg";

/** @type {[RegExp, string][]} the first that matches counts; 48 by 48 */
const DRAWINGS = [
  [/kitchen|cook|pan|kettle/i, "M10 20h24v12a6 6 0 01-6 6H16a6 6 0 01-6-6zM34 24h4a3 3 0 010 8h-4M17 14c0-3 2-3 2-6M25 14c0-3 2-3 2-6"],
  [/light|lamp/i, "M17 8h14l6 14H11zM24 22v16M16 40h16"],
  [/tea|coffee|cup/i, "M10 18h22v10a9 9 0 01-9 9h-4a9 9 0 01-9-9zM32 20h3a4 4 0 010 9h-3M8 41h28"],
  [/bed|pillow|blanket/i, "M6 38V14M6 32h36v6M42 32v-6a6 6 0 00-6-6H18v12M12 20a3 3 0 100 6 3 3 0 000-6"],
  [/bath|soap|towel/i, "M6 24h36v4a10 10 0 01-10 10H16A10 10 0 016 28zM12 24V12a4 4 0 018 0M14 38v3M34 38v3"],
  [/garden|plant/i, "M14 28h20l-3 12H17zM24 28V16M24 18c0-6 4-9 10-9 0 6-4 9-10 9M24 22c0-5-3-8-9-8 0 5 3 8 9 8"],
  [/office|paper|book|pen/i, "M12 8h20a4 4 0 014 4v28H16a4 4 0 01-4-4zM12 36a4 4 0 014-4h20M19 16h10M19 22h10"],
  [/\bcycl|bike/i, "M13 25a8 8 0 100 16 8 8 0 000-16zM35 25a8 8 0 100 16 8 8 0 000-16zM13 33l8-16h10l4 16M21 17l6 16h-14M18 17h6M31 17v-4h4"],
  [/hik|tent|outdoor/i, "M4 40l20-30 20 30zM24 10v30M24 22l9 18M24 22l-9 18"],
  [/music|sound|instrument/i, "M18 34V12l18-4v22M18 34a5 5 0 11-5-5 5 5 0 015 5zM36 30a5 5 0 11-5-5 5 5 0 015 5z"],
  [/toy|game|puzzle/i, "M8 24h14v16H8zM26 24h14v16H26zM17 8h14v16H17z"],
  [/cloth|shirt|wear|sock/i, "M17 8l-11 7 4 9 5-3v19h18V21l5 3 4-9-11-7a7 7 0 01-14 0z"],
  [/travel|bag|case/i, "M8 16h32v22H8zM18 16v-6h12v6M16 16v22M32 16v22"],
  [/bak|cake/i, "M10 24h28v14H10zM10 30c4 4 5-2 9 0s5 3 9 0 6 4 10 0M24 24v-8M24 12a2 2 0 100-4 2 2 0 000 4zM6 38h36"],
  [/storage|shelf|box|furniture/i, "M8 8h32v32H8zM8 24h32M21 16h6M21 32h6"],
  [/pet|dog|cat/i, "M24 24c6 0 10 5 10 10 0 7-7 4-10 4s-10 3-10-4c0-5 4-10 10-10zM12 16a3 4 0 100 8 3 4 0 000-8zM36 16a3 4 0 100 8 3 4 0 000-8zM19 8a3 4 0 100 8 3 4 0 000-8zM29 8a3 4 0 100 8 3 4 0 000-8z"],
];
const ANYTHING = "M8 16l16-8 16 8v18l-16 8-16-8zM8 16l16 8 16-8M24 24v18M16 12l16 8";

/** @param {string} category @param {string} [name] what tells more than the category, or stands for one */
export function drawing(category, name = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 48 48");
  svg.setAttribute("class", "drawing");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", find(category) ?? find(name) ?? ANYTHING);
  svg.append(path);
  return svg;
}

/** @param {string} words */
const find = (words) => DRAWINGS.find(([kind]) => kind.test(words))?.[1];
