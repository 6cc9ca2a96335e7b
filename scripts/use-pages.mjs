// The browser part of scripts/use-pages: ADDRESS TENANT FOLDER.
import { mkdirSync } from "node:fs";
import puppeteer from "puppeteer-core";

const [address, tenant, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
await page.setViewport({ width: 1280, height: 900 });
page.on("pageerror", (error) => { throw error; });

let step = 0;
const picture = (name) => page.screenshot({ path: `${folder}/${String(++step).padStart(2, "0")}-${name}.png`, fullPage: true });
const open = (path) => page.goto(new URL(path, address).href, { waitUntil: "load" });

// Controls are found as a screen reader finds them: by role and name. A locator finds them again, should
// the page exchange its main part in between.
async function press(role, name) {
  const control = page.locator(`main ::-p-aria([name="${name}"][role="${role}"])`);
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), control.click()]);
}

async function fill(field, text) {
  const control = await page.waitForSelector(`main [name="${field}"]`, { visible: true });
  await control.evaluate((element) => (element.value = ""));
  await control.type(text);
}

// Opens what is folded behind "Name…", fills it in and sends it off.
async function carefully(name, fields = {}) {
  await page.locator(`main summary::-p-text(${name}…)`).click();
  for (const [field, text] of Object.entries(fields)) await fill(field, text);
  await press("button", name);
}

// Waits until the page shows it, by its own updates alone.
async function shows(text, seconds = 30) {
  const there = (text) => document.querySelector("main").innerText.includes(text);
  await page.waitForFunction(there, { timeout: seconds * 1000, polling: 200 }, text)
    .catch(() => { throw new Error(`${page.url()} does not show \`${text}\``); });
  console.log(`${page.url()}: ${text}`);
}

// Two jobs of this script's own: one that is quick, and one that goes on until it is stopped.
for (const [name, job_type, payload] of [["quick", "noop", {}], ["long", "sleep", { seconds: 600 }]]) {
  const answer = await fetch(`${address}/api/v1/tenants/${tenant}/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, job_type, payload, schedule: { every: "24h" } }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

async function find() {
  await open("/");
  await page.click("header nav a[href='/tenants']");
  await page.waitForNavigation({ waitUntil: "load" }).catch(() => {});
  await shows(tenant);
  await open(`/tenants/${tenant}`);
  await press("link", "Jobs");
  await press("link", "quick");
  await shows("Next runs");
  await picture("job");
}

async function runAndRepeat() {
  await press("button", "Run now");
  await shows("success");
  await picture("ran");
  await carefully("Run again");
  await shows("success");
}

async function pauseAndResume() {
  await open(`/tenants/${tenant}/job?name=quick`);
  await carefully("Pause", { reason: "the printer is being repaired" });
  await shows("paused");
  await shows("the printer is being repaired");
  await picture("paused");
  await carefully("Resume");
  await shows("enabled");
}

async function editTheSchedule() {
  await press("link", "Edit the schedule");
  await fill("schedule", "0 25 * * *");
  await press("button", "Preview");
  await shows("hour 25 is outside");
  await fill("schedule", "0 2 * * 1-5");
  await fill("timezone", "Europe/London");
  await press("button", "Preview");
  await shows("at 02:00");
  await picture("preview");
  await fill("reason", "at night");
  await press("button", "Save this schedule");
  await shows("at 02:00");
}

async function editNotifications() {
  await press("link", "Edit notifications");
  await fill("target", "https://hooks.example/quick");
  await press("button", "Preview");
  await shows("Notifies");
  await press("button", "Save this target");
  await shows("https://hooks.example/quick");
}

async function cancel() {
  await open(`/tenants/${tenant}/job?name=long`);
  await press("button", "Run now");
  await shows("running");
  await picture("running");
  await carefully("Cancel", { reason: "not today" });
  await shows("cancelled", 40);
  await picture("cancelled");
}

async function suspendAndResume() {
  await open(`/tenants/${tenant}`);
  await carefully("Suspend", { reason: "unpaid" });
  await shows("suspended");
  await picture("suspended");
  await carefully("Resume");
  await shows("active");
}

async function remove() {
  await open(`/tenants/${tenant}/job?name=long`);
  await carefully("Delete", { confirmed_name: "lon" });
  await shows("nothing was deleted");
  await open(`/tenants/${tenant}/job?name=long`);
  await carefully("Delete", { confirmed_name: "long" });
  await shows("quick");
}

async function audit() {
  await open(`/audit?tenant=${tenant}`);
  const changes = ["job.run", "job.pause", "job.resume", "job.edit", "job.delete", "execution.cancel", "tenant.suspend", "tenant.resume"];
  for (const change of changes) await shows(change);
  await picture("audit");
  await open("/consumers");
  await shows("default");
}

try {
  for (const part of [find, runAndRepeat, pauseAndResume, editTheSchedule, editNotifications, cancel, suspendAndResume, remove, audit]) {
    await part();
  }
} catch (error) {
  await picture("failed");
  throw error;
} finally {
  await browser.close();
}
console.log(`${address}: everything was done`);
