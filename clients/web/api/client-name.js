// The name of this browser in the list of sessions.

/** @type {[RegExp, string][]} the first that matches counts: many pretend to be others */
const BROWSERS = [[/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"]];
/** @type {[RegExp, string][]} */
const SYSTEMS = [[/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/CrOS/, "ChromeOS"], [/Linux/, "Linux"]];

export function clientName(agent = navigator.userAgent) {
  return `${first(BROWSERS, agent) ?? "Browser"} on ${first(SYSTEMS, agent) ?? "a device"}`;
}

/** @param {[RegExp, string][]} names @param {string} agent */
function first(names, agent) {
  return names.find(([pattern]) => pattern.test(agent))?.[1];
}
