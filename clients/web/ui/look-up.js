// What is known by its id alone, such as the product of an order or the brand of a seller. All that
// a page needs in one turn comes with one request, and no page asks for the same twice. The next page asks again,
// because a product or a brand may have another name by then.

import { catalog, profiles } from "../api/lockstep.js";

const AT_ONCE = 100;

/** @template T */
class LookUp {
  /** @type {Map<string, T | null>} null: there is none */
  #known = new Map();
  /** @type {Map<string, ((found: T) => void)[]>} by id: who waits for it */
  #waiting = new Map();
  /** @type {string[]} for the next request */
  #wanted = [];

  /** @param {(ids: string[]) => Promise<[id: string, found: T][]>} ask for 100 at most */
  constructor(ask) {
    this.ask = ask;
    addEventListener("hashchange", () => this.#known.clear(), { capture: true }); // so it is done before the next page is made
  }

  /** Call with what belongs to an id, at once or later; never where there is none. @param {string} id @param {(found: T) => void} use */
  want(id, use) {
    const known = this.#known.get(id);
    if (known) use(known);
    if (this.#known.has(id)) return;
    const waiting = this.#waiting.get(id);
    if (waiting) {
      waiting.push(use);
      return;
    }
    this.#waiting.set(id, [use]);
    if (this.#wanted.push(id) === 1) queueMicrotask(() => this.#askAll());
  }

  #askAll() {
    const ids = this.#wanted;
    this.#wanted = [];
    for (let from = 0; from < ids.length; from += AT_ONCE) void this.#askFor(ids.slice(from, from + AT_ONCE));
  }

  /** @param {string[]} ids */
  async #askFor(ids) {
    // A picture or a name is no reason to complain: it stays away, and the next page asks again.
    const found = await this.ask(ids).then((pairs) => new Map(pairs), () => null);
    for (const id of ids) {
      const one = found?.get(id) ?? null;
      if (found) this.#known.set(id, one);
      if (one) this.#waiting.get(id)?.forEach((use) => use(one));
      this.#waiting.delete(id);
    }
  }
}

export const products = new LookUp(async (ids) => (await catalog.productsOf(ids)).products.map((each) => [each.id, each]));

/** The names of brands, by the user who sells. */
export const brandNames = new LookUp(async (ids) => (await profiles.brandsOf(ids)).brands.map(({ userId, brand }) => [userId, brand.name]));
