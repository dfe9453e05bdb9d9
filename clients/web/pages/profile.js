// The account: who the reader is and the brand, the ways in, and the end of it.

import { profiles, users } from "../api/lockstep.js";
import { h } from "../ui/dom.js";
import { FormField } from "../ui/field.js";
import { ActionForm } from "../ui/form.js";
import { date } from "../ui/format.js";
import { bones, loaded } from "../ui/loading.js";
import { avatar } from "../ui/picture.js";
import { atMost, phone, slug, url } from "../ui/rules.js";
import { section } from "../ui/section.js";
import { roleName } from "../ui/states.js";
import { pageTabs } from "../ui/tabs.js";
import { toast } from "../ui/words.js";
import { deletion, signOutButton, waysIn } from "./profile-account.js";
import { COMPANY_SIZES, POSITIONS, toSlug } from "./registration.js";
import { reloadLink } from "./reload-link.js";

/** @import { Brand, Profile, User } from "../api/types.js" */
/** @typedef {Record<string, string>} Values */

/** @type {[string, string][]} */
const BRAND_TYPES = [["", "Not said"], ["agency", "Agency"], ["direct", "Direct"], ["platform", "Platform"]];
/** @type {Record<string, [text: string, tone: string]>} */
const STATUS = { pending: ["E-mail not confirmed yet", "info"], active: ["E-mail confirmed", "ok"], suspended: ["Suspended", "problem"] };

/** @param {import("../app/router.js").Visit} visit */
export function page({ query, signal }) {
  const part = query.get("part") ?? "";
  const content = loaded({
    signal,
    fetch: () => Promise.all([users.me(), profiles.me()]),
    show: ([user, profile]) => [whoIsThis(user, profile), partTabs(part),
      h("div", { class: "sections" }, ...sectionsOf(part, user, profile).map(([title, ...parts]) => section(title, ...parts)))],
    skeleton: bones(2, "bone-product"),
  });
  return { title: "Account", content: [h("div", { class: "page" }, h("h1", {}, "Account"), content)] };
}

/** @param {string} part */
const partTabs = (part) => pageTabs("Parts of the account", part ? `/profile?part=${part}` : "/profile",
  [["/profile", "Profile"], ["/profile?part=sign-in", "Sign-in"], ["/profile?part=delete", "Delete"]]);

/** @param {string} part @param {User} user @param {Profile} profile @returns {import("./profile-account.js").Section[]} */
function sectionsOf(part, user, profile) {
  if (part === "sign-in") return waysIn(user);
  if (part === "delete") return [["Delete the account", deletion()]];
  const about = /** @type {import("./profile-account.js").Section} */ (["About you", profileForm(profile)]);
  return profile.brand ? [about, ["Your brand", brandForm(profile.brand)]] : [about];
}

/** @param {User} user @param {Profile} profile */
function whoIsThis(user, profile) {
  const [standing, tone] = STATUS[profile.status] ?? ["", "plain"];
  const name = profile.displayName ?? user.fullName;
  return h("div", { class: "who" },
    h("div", { class: "avatar" },
      avatar({ id: user.id, name: name || user.email, imageUrl: profile.avatarUrl ?? "" })),
    h("div", {},
      h("p", { class: "who-name" }, name || user.email),
      h("p", { class: "muted" }, `${user.email} · ${roleName(user.role)} · since ${date(user.createTime)}`),
      h("p", {}, h("span", { class: `tag tag-${tone}` }, standing))),
    signOutButton());
}

/** @param {Profile} profile */
function profileForm(profile) {
  let shown = profile;
  const fields = [
    new FormField({ name: "firstName", label: "First name", rules: [atMost(100)],
      value: profile.firstName, attributes: { autocomplete: "given-name" } }),
    new FormField({ name: "lastName", label: "Last name", rules: [atMost(100)],
      value: profile.lastName, attributes: { autocomplete: "family-name" } }),
    new FormField({ name: "phoneNumber", label: "Phone number", type: "tel", rules: [phone],
      value: profile.phoneNumber ?? "", attributes: { autocomplete: "tel", inputmode: "tel" } }),
    new FormField({ name: "course", label: "Course", rules: [atMost(200)], value: profile.course ?? "" }),
    new FormField({ name: "address", label: "Address", rules: [atMost(300)],
      value: profile.address ?? "", attributes: { autocomplete: "street-address" } }),
    new FormField({ name: "bio", label: "A few words", type: "textarea", rules: [atMost(2000)],
      value: profile.bio ?? "" }),
  ];
  return new ActionForm({
    parts: [h("div", { class: "fields calm" }, ...fields)],
    submit: "Save",
    reasons: { PHONE_TAKEN: "phoneNumber" },
    remedies: { ETAG_MISMATCH: () => [reloadLink()] },
    async action(values) {
      const changes = changed(values, fields, shown);
      if (Object.keys(changes).length) shown = await profiles.update(changes, shown.etag);
      toast("Saved.");
    },
  });
}

/** @param {Brand} brand */
function brandForm(brand) {
  let shown = brand;
  const fields = [
    new FormField({ name: "name", label: "Name", required: true, rules: [atMost(200)], value: brand.name }),
    new FormField({ name: "brandType", label: "Kind", type: "select", options: BRAND_TYPES,
      value: brand.brandType ?? "" }),
    new FormField({ name: "companySize", label: "Company size", type: "select", required: true,
      options: COMPANY_SIZES, value: brand.companySize }),
    new FormField({ name: "userRole", label: "Your role there", required: true, tidy: toSlug,
      rules: [slug, atMost(50)], suggestions: POSITIONS, value: brand.userRole }),
    new FormField({ name: "websiteUrl", label: "Website", type: "url", rules: [url, atMost(2048)],
      value: brand.websiteUrl ?? "", attributes: { placeholder: "https://" } }),
    new FormField({ name: "description", label: "Description", type: "textarea", rules: [atMost(5000)],
      value: brand.description ?? "" }),
  ];
  return new ActionForm({
    parts: [h("div", { class: "fields calm" }, ...fields)],
    submit: "Save the brand",
    async action(values) {
      const changes = changed(values, fields, shown);
      if (Object.keys(changes).length) shown = await profiles.updateBrand(brand.id, changes);
      toast("The brand is saved.");
    },
  });
}

/**
 * What differs from what is shown; an emptied field is sent empty.
 *
 * @param {Values} values
 * @param {FormField[]} fields
 * @param {object} shown
 * @returns {Values}
 */
function changed(values, fields, shown) {
  const before = /** @type {Record<string, string | undefined>} */ ({ ...shown });
  const after = fields.map(({ name }) => /** @type {const} */ ([name, values[name] ?? ""]));
  return Object.fromEntries(after.filter(([name, value]) => value !== (before[name] ?? "")));
}
