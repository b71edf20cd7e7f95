// Parts of a page that renew themselves: <div data-renew="PATH" data-every="SECONDS">. The server draws, this only
// puts it in place. Nothing is renewed while the page is hidden, covered, or being worked on.
//
// The answers are of this origin alone, drawn by the same templates as the page, with every value escaped.

const BACKGROUND = { "X-Background": "1" };

export async function renew(part) {
  if (document.hidden || document.documentElement.classList.contains("covered")) return;
  if (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
  let answer;
  try {
    answer = await fetch(part.dataset.renew, { headers: BACKGROUND });
  } catch {
    part.classList.add("stale");
    return;
  }
  if (answer.status === 401) {
    const told = await answer.json().catch(() => ({}));
    if (told.error === "SessionLocked") dispatchEvent(new Event("waferlens:locked"));
    else location.reload();
  } else if (answer.ok) {
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.innerHTML = await answer.text();
    part.classList.remove("stale");
    if (focused) document.getElementById(focused)?.focus();
    part.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
  } else {
    part.classList.add("stale");
  }
}

document.querySelectorAll("[data-renew]").forEach((part) => {
  setInterval(() => renew(part), 1000 * Number(part.dataset.every));
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.querySelectorAll("[data-renew]").forEach(renew);
});
