// Icons, 24 by 24, in the colour of the text around them.

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
  plus: "M12 6v12M6 12h12",
  minus: "M6 12h12",
};

/** @typedef {keyof typeof PATHS} IconName */

/** @param {IconName} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
