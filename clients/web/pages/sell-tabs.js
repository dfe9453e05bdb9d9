// The parts of selling.

import { pageTabs } from "../ui/tabs.js";

/** @param {"/sell" | "/sell/sales" | "/wallet"} current */
export const sellTabs = (current) => pageTabs("Selling", current, [
  ["/sell", "Products"], ["/sell/sales", "Sales"], ["/wallet", "Money"]]);
