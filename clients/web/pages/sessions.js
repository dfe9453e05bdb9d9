// Where the reader is signed in, and how to end that.

import { sessions } from "../api/lockstep.js";
import { showAgain } from "../app/router.js";
import { h } from "../ui/dom.js";
import { ActionForm } from "../ui/form.js";
import { moment } from "../ui/format.js";
import { bones, loaded } from "../ui/loading.js";
import { toast } from "../ui/words.js";

/** @import { Session } from "../api/types.js" */

/** @type {import("../app/router.js").Page} */
export function page({ signal }) {
  const content = loaded({
    signal,
    fetch: () => sessions.list(),
    show: ({ sessions: found }) => [
      h("ul", { class: "rows" }, ...found.map((each) => sessionRow(each, endOf(each)))),
      found.length > 1 && endOthers(),
    ],
    skeleton: bones(3, "bone-row"),
  });
  return { title: "Sessions", content: [h("div", { class: "page" }, h("h1", {}, "Sessions"),
    h("p", { class: "muted" }, "You are signed in here. ", h("a", { href: "#/profile?part=sign-in" }, "Back to the account")),
    content)] };
}

/** @param {Session} each */
function endOf(each) {
  return async () => {
    await sessions.end(each.id);
    toast(`${each.clientName || "Unknown client"} is signed out.`);
    showAgain();
  };
}

/** @param {Session} each @param {() => Promise<void>} end */
export function sessionRow(each, end) {
  const name = each.clientName || "Unknown client";
  return h("li", { class: "row" },
    h("div", { class: "row-main" },
      h("p", {}, h("strong", {}, name), " ", each.current && h("span", { class: "tag tag-ok" }, "This one"),
        each.secondFactor && h("span", { class: "tag tag-info" }, "Two steps")),
      h("p", { class: "muted" },
        `${each.address || "Unknown address"} · signed in ${moment(each.createTime)} · last seen ${moment(each.lastSeenTime)}`)),
    !each.current && new ActionForm({ parts: [], submit: "End", tone: "plain", action: end }));
}

function endOthers() {
  return new ActionForm({
    parts: [], submit: "End all others", tone: "danger",
    async action() {
      await sessions.endOthers();
      toast("All others are signed out.");
      showAgain();
    },
  });
}
