// Writes croner.tsv: what croner (npm) says about cases.tsv. Where `npm install croner` was run:
//
//   node FOLDER/make_croner.mjs FOLDER
//
// Run it only to renew the table.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const require = createRequire(join(process.cwd(), "package.json"));
const main = require.resolve("croner");
const { Cron } = await import(pathToFileURL(main));
let home = dirname(main);
while (!home.endsWith("croner")) home = dirname(home);
const version = JSON.parse(readFileSync(join(home, "package.json"))).version;

function answer(expression, zone, from, count) {
  try {
    const job = new Cron(expression, { timezone: zone, paused: true });
    const times = job.nextRuns(count, new Date(from));
    return times.map((time) => time.toISOString().replace(".000Z", "Z")).join(" ") || "never";
  } catch {
    return "refused";
  }
}

const lines = [`# By croner ${version} (npm), make_croner.mjs.`];
for (const line of readFileSync(join(folder, "cases.tsv"), "utf8").trimEnd().split("\n")) {
  if (line.startsWith("#")) continue;
  const [, expression, zone, from, count] = line.split("\t");
  lines.push(`${line}\t${answer(expression, zone, from, Number(count))}`);
}
writeFileSync(join(folder, "croner.tsv"), lines.join("\n") + "\n");
