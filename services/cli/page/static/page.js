// Refreshes what the page shows. Without this script a reload does the same.

const main = document.querySelector("main");
const news = document.getElementById("news");
const pause = Number(document.body.dataset.refresh) * 1000;
const FOCUSABLE = "a, button, input, [tabindex]";

/** Replace the live parts of this page by those of a newer copy of it. */
function take(newer) {
  for (const part of main.querySelectorAll("[data-live]")) {
    const other = newer.getElementById(part.id);
    if (other === null || other.innerHTML === part.innerHTML || isRead(part)) continue;
    const place = [...part.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    part.replaceChildren(...document.adoptNode(other).childNodes);
    if (place >= 0) part.querySelectorAll(FOCUSABLE)[place]?.focus({ preventScroll: true });
  }
}

/** Whether somebody has marked text in a part, which a change would take from them. */
function isRead(part) {
  const marked = getSelection();
  return marked !== null && !marked.isCollapsed && part.contains(marked.anchorNode);
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(15_000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const newer = new DOMParser().parseFromString(await answer.text(), "text/html");
    take(newer);
    document.body.classList.remove("stale");
    news.textContent = newer.getElementById("news").textContent;
  } catch {
    if (!document.body.classList.contains("stale")) {
      news.textContent = `Lockstep does not answer; this is old. ${news.textContent}`;
    }
    document.body.classList.add("stale");
  }
}

async function keepFresh() {
  for (;;) {
    await new Promise((done) => setTimeout(done, pause));
    await refresh();
  }
}

if (pause > 0) {
  document.addEventListener("visibilitychange", refresh);
  keepFresh();
}
