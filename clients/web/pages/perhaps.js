// Products for a reader who has found nothing, or has bought nothing yet.

import { catalog } from "../api/lockstep.js";
import { shelf } from "../ui/product-card.js";

const SOME = 8;

/** @param {AbortSignal} signal of the page */
export const perhaps = (signal) => shelf("Perhaps one of these", "#/products",
  async () => (await catalog.products({ minStock: 1, limit: SOME }, signal)).products, { signal });
