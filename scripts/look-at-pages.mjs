// The browser part of scripts/look-at-pages: ADDRESS ADDRESS-WITH-USERS FOLDER.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const [address, strict, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(folder, { recursive: true });

// Waits until the demo has a failed and a running execution.
async function execution(tenant, status) {
  for (let tries = 0; tries < 300; tries++) {
    const answer = await fetch(`${address}/api/v1/tenants/${tenant}/executions?status=${status}`);
    const [first] = (await answer.json()).items;
    if (first) return `/tenants/${tenant}/executions/${first.id}`;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no execution of ${tenant} is ${status}`);
}

// A planned time that something became of.
async function planned(tenant, job) {
  const answer = await fetch(`${address}/api/v1/tenants/${tenant}/executions?job=${job}`);
  return encodeURIComponent((await answer.json()).items[0]?.scheduled_for ?? new Date().toISOString());
}

const job = "/tenants/initech/job?name=export-ledger";
const pages = {
  now: "/",
  tenants: "/tenants",
  tenant: "/tenants/initech",
  jobs: "/tenants/initech/jobs",
  job,
  schedule: "/tenants/initech/job/schedule?name=export-ledger",
  preview: "/tenants/initech/job/schedule?name=export-ledger&schedule=0+2+*+*+*&timezone=Europe%2FLondon",
  refused: "/tenants/initech/job/schedule?name=export-ledger&schedule=0+25+*+*+*&timezone=",
  why: `/tenants/initech/job/why?name=export-ledger&at=${await planned("initech", "export-ledger")}`,
  "why-wrong": "/tenants/initech/job/why?name=export-ledger&at=last+night",
  notify: "/tenants/initech/job/notify?name=export-ledger",
  "notify-preview": "/tenants/initech/job/notify?name=export-ledger&target=https%3A%2F%2Fhooks.example%2Fledger",
  "notify-refused": "/tenants/initech/job/notify?name=export-ledger&target=ftp%3A%2F%2Fhooks.example",
  "notify-tenant": "/tenants/initech/notify?target=off",
  executions: "/tenants/initech/executions",
  failed: await execution("initech", "failed"),
  success: await execution("acme", "success"),
  consumers: "/consumers",
  audit: "/audit",
  login: `${strict}/login`,
  nothing: "/nothing/here",
};
const screens = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844, isMobile: true } };

// A change, so that the page of changes is not empty.
await fetch(`${address}/api/v1/tenants/initech/jobs/print-labels/pause`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ reason: "the printer is being repaired" }),
});

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
let problems = 0;
for (const [screen, viewport] of Object.entries(screens)) {
  for (const scheme of ["light", "dark"]) {
    const page = await browser.newPage();
    await page.setBypassCSP(true);
    await page.setViewport(viewport);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    page.on("pageerror", (error) => { problems++; console.log(`${screen} ${scheme}: script: ${error.message}`); });
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(new URL(path, address).href, { waitUntil: "load" });
      // Folded sections are checked, too.
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
      await page.evaluate(axe);
      const found = await page.evaluate(async () => (await window.axe.run()).violations);
      for (const { impact, id, help, nodes } of found) {
        const counts = ["serious", "critical"].includes(impact);
        if (counts) problems++;
        console.log(`${counts ? "PROBLEM" : "minor"} ${screen} ${scheme} ${name}: ${impact} ${id}: ${help}: ${nodes.map((node) => node.target).slice(0, 3).join(" | ")}`);
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) {
        problems++;
        console.log(`PROBLEM ${screen} ${scheme} ${name}: ${wide} px wider than the screen`);
      }
      await page.screenshot({ path: `${folder}/${name}-${screen}-${scheme}.png`, fullPage: true });
    }
    await page.close();
  }
}
await browser.close();
console.log(`${Object.keys(pages).length} pages, each four times: ${problems} problems`);
process.exit(problems === 0 ? 0 : 1);
