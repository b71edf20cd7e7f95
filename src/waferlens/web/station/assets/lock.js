// Covers the page when nobody has used it for a while, and takes the cover away with the password. What was typed stays.
//
// The service locks by itself too; this only makes it visible, and tells the service that somebody is there who
// looks and asks for nothing.

const body = document.body;
const idleMs = 1000 * Number(body.dataset.idleSeconds);
const token = body.dataset.formToken;
const dialog = document.getElementById("lock");
const form = dialog.querySelector("[data-unlock]");
const problem = dialog.querySelector("[data-unlock-problem]");
const otherTabs = new BroadcastChannel("waferlens-lock");
const SAY_AWAKE_MS = Math.min(60_000, idleMs / 4);

let lastUse = Date.now();
let lastSaid = Date.now();

function post(path, fields = {}) {
  const content = new URLSearchParams(fields);
  return fetch(path, { method: "POST", body: content, headers: { "X-Form-Token": token }, redirect: "manual" });
}

export function cover() {
  if (dialog.open) return;
  problem.textContent = "";
  form.reset();
  dialog.showModal();
  document.documentElement.classList.add("covered");
}

function uncover() {
  lastUse = lastSaid = Date.now();
  dialog.close();
  document.documentElement.classList.remove("covered");
}

async function lockNow() {
  cover();
  otherTabs.postMessage("locked");
  await post("/station/lock").catch(() => {});
}

async function unlock(event) {
  event.preventDefault();
  problem.textContent = "";
  const answer = await post("/station/unlock", { password: form.elements.password.value }).catch(() => null);
  if (answer === null) {
    problem.textContent = "The service does not answer. Try again.";
  } else if (answer.type === "opaqueredirect") {
    form.reset();
    uncover();
    otherTabs.postMessage("unlocked");
  } else if (answer.status === 429 || answer.status === 503) {
    problem.textContent = "Too many tries. Wait a moment.";
  } else if (answer.status === 401 && (answer.headers.get("content-type") ?? "").startsWith("application/problem")) {
    location.assign("/station/sign-in"); // the shift's session has ended meanwhile
  } else {
    problem.textContent = "The password is wrong.";
    form.elements.password.select();
  }
}

function used() {
  const now = Date.now();
  if (!dialog.open && now - lastSaid > SAY_AWAKE_MS) {
    lastSaid = now;
    post("/station/awake").then((answer) => answer.status === 401 && cover()).catch(() => {});
  }
  lastUse = now;
}

for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) {
  addEventListener(kind, used, { passive: true, capture: true });
}
form.addEventListener("submit", unlock);
dialog.addEventListener("cancel", (event) => event.preventDefault());
document.querySelectorAll("[data-lock-now]").forEach((button) => button.addEventListener("click", lockNow));
otherTabs.addEventListener("message", ({ data }) => (data === "locked" ? cover() : uncover()));
addEventListener("waferlens:locked", cover);
setInterval(() => !dialog.open && Date.now() - lastUse > idleMs && lockNow(), 1000);
