// What pages do sooner, or nicer, with a script. Without it every page is complete.
"use strict";

const base = document.body.dataset.base || "";
const all = (selector) => Array.from(document.querySelectorAll(selector));

// A page that was left by logging out is not shown again from the browser's memory.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// Times in the zone of whoever reads; the title keeps them in UTC.
const wholeTime = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
for (const time of all("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!isNaN(at)) time.textContent = wholeTime.format(at);
}

// The dashboard's days begin at midnight of whoever looks, unless he says otherwise.
const zoneField = document.querySelector("[data-zone]");
if (zoneField && !new URLSearchParams(location.search).has("tz")) {
  zoneField.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

for (const button of all("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
}

// A second click while the first is on its way sends nothing.
for (const form of all("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

// Lists that are narrowed while one types.
for (const search of all("[data-narrow]")) {
  const list = document.getElementById(search.dataset.narrow);
  if (!list) continue;
  search.hidden = false;
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const item of list.children) item.hidden = !item.textContent.toLowerCase().includes(wanted);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && search.id === "narrow") event.preventDefault();
  });
}

// All rows of the page at once.
const chooseAll = document.querySelector("[data-all]");
if (chooseAll) {
  const boxes = all("input[name=ids]");
  const said = document.querySelector("[data-chosen]");
  const usual = said.textContent;
  const tell = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    chooseAll.checked = chosen === boxes.length;
    chooseAll.indeterminate = chosen > 0 && chosen < boxes.length;
    said.textContent = chosen === 0 ? usual : `${chosen} chosen`;
  };
  chooseAll.hidden = false;
  chooseAll.addEventListener("change", () => {
    for (const box of boxes) box.checked = chooseAll.checked;
    tell();
  });
  for (const box of boxes) box.addEventListener("change", tell);
  tell();
}

// Waits for a pause in typing; an answer that was overtaken by another question is dropped.
function afterPause(ask, show, wait) {
  let timer = 0;
  let latest = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++latest;
      const answer = await ask().catch(() => null);
      if (answer && mine === latest) show(answer);
    }, wait);
  };
}

async function answered(response) {
  return response.ok ? response.json() : null;
}

const form = document.querySelector("form[data-form]");
if (form && !form.querySelector("fieldset.all").disabled) {
  const value = (name) => form.elements[name].value;

  const domain = document.getElementById("domain");
  const said = document.getElementById("domain-said");
  const check = afterPause(
    () => {
      const question = new URLSearchParams({ model: value("model"), domain: domain.value, lang: value("lang") });
      return fetch(`${base}/live/domain?${question}`).then(answered);
    },
    (told) => {
      said.textContent = told.text;
      said.className = told.good ? "said good" : "said bad";
    },
    300,
  );
  domain.addEventListener("input", check);
  if (!said.textContent) check();

  const sample = document.getElementById("sample");
  const preview = afterPause(
    () => {
      const body = new URLSearchParams(new FormData(form));
      // A secret is nothing that a preview needs.
      for (const name of ["webhook_secret", "auth"]) body.delete(name);
      body.set("secret", form.dataset.id ? "keep" : "none");
      if (form.dataset.id) body.set("id", form.dataset.id);
      return fetch(`${base}/live/sample`, { method: "POST", body }).then(answered);
    },
    (told) => {
      sample.hidden = false;
      sample.textContent = told.text;
      sample.className = told.good ? "sample" : "sample bad";
    },
    500,
  );
  for (const name of ["template", "webhook_payload_template", "enrich_fields", "payload_fields", "sample_record", "format"]) {
    form.elements[name].addEventListener("input", preview);
  }

  // Only a template of one's own is written by hand.
  const own = form.querySelector(".own");
  const showOwn = () => (own.hidden = value("template") !== "own");
  form.elements.template.addEventListener("input", showOwn);
  showOwn();

  form.elements.webhook_secret.addEventListener("input", () => (form.elements.secret.value = "type"));
}
