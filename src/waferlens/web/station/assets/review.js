// One image after the other by keyboard. The next one is fetched, with its pictures, while this one is looked at, so a
// key puts it on the screen at once; the verdict is sent meanwhile, again and again under one key until it is answered.
// What is not answered yet survives a reload in this tab's storage. A blind look waits for its answer: it is shown whole.

import { viewerOf } from "./viewer.js";

const page = document.querySelector("[data-review]");
const stage = page.querySelector("[data-viewer]");
const parts = Object.fromEntries(
  ["work", "nothing", "told", "beside", "note", "confirm", "undo", "later"].map((name) => [
    name, page.querySelector(`[data-${name}]`)]));
const trouble = document.querySelector("[data-trouble]");
const waiting = document.querySelector("[data-waiting]");
const WORDS = { pass: "PASS", reject: "REJECT", unsure: "UNSURE" };
const STORED = "waferlens-unsent";
const RETRY_MS = 1000, EMPTY_MS = 3000;

let now = null; // the look on the screen
let ahead = []; // looks that are claimed and come next
let putOff = []; // items for later
let unsent = JSON.parse(sessionStorage.getItem(STORED) ?? "[]"); // verdicts without an answer
let asking = null; // the look that is being fetched
let busy = false; // a blind verdict or an undo is on its way

const pause = (ms) => new Promise((go) => setTimeout(go, ms));
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
const named = (said) => WORDS[said.choice] + (said.defect_class ? `, ${said.defect_class.replaceAll("_", " ")}` : "");

function say(words) {
  trouble.textContent = words ?? "";
  trouble.hidden = !words;
}

// Asks until there is an answer: the service may be away for a moment, or the page locked. Gives [status, content].
async function ask(path, fields, background = false) {
  for (let tries = 0; ; tries++) {
    const headers = { "X-Form-Token": document.body.dataset.formToken, ...(background ? { "X-Background": "1" } : {}) };
    const told = fields && { method: "POST", body: new URLSearchParams(fields) };
    const answer = await fetch(path, { ...told, headers }).catch(() => null);
    if (answer?.status === 401) {
      const { error } = await answer.json().catch(() => ({}));
      if (error !== "SessionLocked") return location.reload(), [401, {}];
      dispatchEvent(new Event("waferlens:locked"));
    } else if (answer && answer.status < 500) {
      if (tries > 0) say(null);
      return [answer.status, await answer.json().catch(() => ({}))];
    } else {
      say("The service does not answer. Your verdicts are kept here and sent when it does.");
    }
    await pause(RETRY_MS);
  }
}

// ---- looks

async function fetchLook() {
  const having = [now, ...ahead, ...unsent].filter(Boolean).map((look) => look.item);
  const [status, told] = await ask("/station/review/next", {
    order: page.dataset.order, arbitrations: page.dataset.arbitrations,
    having: having.join(" "), put_off: putOff.join(" "),
  }, now !== null);
  if (status !== 200) {
    say(told.detail ?? told.title ?? `The service answers ${status}.`);
    return null;
  }
  waiting.textContent = told.waiting;
  return told.look;
}

function prefetch() {
  if (asking || ahead.length > 0 || unsent.length > 1) return asking;
  asking = fetchLook().then((look) => {
    asking = null;
    if (now === null && look === null) show();
    if (look === null || [now, ...ahead].some((other) => other?.item === look.item)) return;
    ahead.push(look);
    viewerOf(stage).preload([look.pictures]);
    if (now === null) advance();
  });
  return asking;
}

function advance() {
  now = ahead.shift() ?? null;
  if (now !== null) show();
  prefetch();
  if (now === null) show();
}

function show(words = "") {
  // The last image stays, dimmed, until it is known what follows.
  const coming = now === null && (asking !== null || unsent.length > 0);
  page.classList.toggle("coming", coming);
  parts.work.hidden = now === null && !coming;
  parts.nothing.hidden = now !== null || coming;
  if (now === null) return;
  if (now.model && now.model !== page.dataset.model) {
    page.dataset.model = now.model; // its scale is not the one that is drawn: only numbers differ, colours do not
  }
  for (const name of ["image", "expected", "deviation"]) stage.dataset[name] = now.pictures[name] ?? "";
  stage.dataset.item = now.item;
  viewerOf(stage).act("fit");
  viewerOf(stage).show(now.pictures);
  parts.beside.innerHTML = now.html;
  parts.note.value = "";
  const confirms = now.own !== null && !now.own.saw_score && !now.hides_score;
  parts.confirm.hidden = !confirms;
  parts.told.textContent = words || (confirms ? `You said ${named(now.own)}. Keep it, or change it.` : "");
}

// ---- verdicts

function keepUnsent() {
  sessionStorage.setItem(STORED, JSON.stringify(unsent));
}

async function send(act) {
  const { item, ...fields } = act;
  const [status, told] = await ask(`/station/review/items/${item}/verdict`, fields);
  unsent = unsent.filter((other) => other.key !== act.key);
  keepUnsent();
  if (status !== 200) {
    say(`${named(act)} was not kept: ${told.detail ?? told.title ?? status}.`);
    return null;
  }
  return told;
}

async function judge(choice, defectClass = "") {
  if (now === null || busy) return;
  const judged = now;
  const act = {
    item: judged.item, choice, defect_class: defectClass, note: parts.note.value,
    supersedes: judged.own?.id ?? "", key: newKey(),
  };
  say(null);
  unsent.push(act);
  keepUnsent();
  if (!judged.hides_score) {
    advance();
    parts.told.textContent = `${named(act)}.${now ? "" : " Nothing more is waiting."}`;
    await send(act);
    prefetch();
    return;
  }
  busy = true;
  const told = await send(act);
  busy = false;
  if (told?.reveal) {
    now = told.reveal;
    show();
    parts.confirm.focus();
  } else {
    advance();
  }
}

function confirmOwn() {
  if (now?.own && !parts.confirm.hidden) judge(now.own.choice, now.own.defect_class ?? "");
}

async function undo() {
  if (busy) return;
  busy = true;
  while (unsent.length > 0) await pause(20);
  const [status, told] = await ask("/station/review/undo", { key: newKey() });
  if (status === 200 && told.num_verdicts > 1) {
    say(null);
    parts.told.textContent = `${told.num_verdicts} labels are taken back.`;
  } else if (status === 200) {
    const [found, look] = await ask(`/station/review/items/${told.items[0]}`);
    if (found === 200) {
      if (now !== null) ahead.unshift(now);
      now = look;
      say(null);
      show("Taken back. What do you say now?");
    }
  } else {
    say(told.detail ?? told.title);
  }
  busy = false;
}

async function later() {
  if (now === null || busy || (now.own && !now.hides_score)) return;
  const left = now;
  putOff = [...putOff, left.item].slice(-50);
  now = null;
  await ask(`/station/review/items/${left.item}/release`, {});
  if (asking) await asking;
  if (now === null) advance();
}

// ---- keys, buttons, time

const classes = [...page.querySelectorAll("[data-class]")];

page.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.dataset.say) judge(button.dataset.say, button.dataset.class ?? "");
  else if (button === parts.confirm) confirmOwn();
  else if (button === parts.undo) undo();
  else if (button === parts.later) later();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const onControl = event.target.closest("button, a, summary") !== null;
  const digit = "123456789".indexOf(event.key);
  const act = {
    p: () => judge("pass"), r: () => judge("reject"), u: () => judge("unsure"), z: undo,
    n: () => parts.note.focus(),
    Enter: onControl ? null : confirmOwn, " ": onControl ? null : later,
  }[event.key] ?? (digit >= 0 && classes[digit] ? () => judge("reject", classes[digit].dataset.class) : null);
  if (!act || (event.key === "u" && page.dataset.arbitrations === "true")) return;
  event.preventDefault();
  act();
});

setInterval(() => {
  for (const look of [now, ...ahead].filter(Boolean)) {
    if (look.own && !look.hides_score) continue;
    ask(`/station/review/items/${look.item}/keep`, {}, true).then(([status]) => {
      if (status !== 409) return;
      ahead = ahead.filter((other) => other !== look);
      if (now === look) {
        say("This image went to somebody else: it was left for too long.");
        advance();
      }
    });
  }
}, (1000 * Number(page.dataset.leaseSeconds)) / 3);
setInterval(() => now === null && !document.hidden && !busy && prefetch(), EMPTY_MS);

Promise.all(unsent.map(send)).then(prefetch).then(() => now === null && show());
