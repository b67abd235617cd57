// What job_costs.py does, by sharp: the same three sizes as WebP at quality 80 and effort 2, one thread, no cache and no cage.
// Reads lines of `path TAB jobs`, answers each with CPU seconds of this process. Started in the folder that sharp is installed in.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const sharp = createRequire(process.cwd() + "/")("sharp");
sharp.concurrency(1);
sharp.cache(false);

const BOXES = [[150, 112], [320, 240], [640, 480]];

async function thumbnails(path) {
  for (const [width, height] of BOXES) {
    await sharp(path).rotate().resize({ width, height, fit: "inside", withoutEnlargement: true }).webp({ quality: 80, effort: 2 }).toBuffer();
  }
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [path, jobs] = line.split("\t");
  const before = process.cpuUsage();
  for (let number = 0; number < Number(jobs); number++) await thumbnails(path);
  const used = process.cpuUsage(before);
  console.log((used.user + used.system) / 1e6);
}
