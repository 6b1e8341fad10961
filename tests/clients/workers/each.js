"use strict";
// The cases, one at a time, for the workers in JavaScript; the counterpart of each.py.
const fs = require("node:fs");
const net = require("node:net");

function announce(number) {
  return new Promise((resolve, reject) => {
    const control = net.connect({ host: "127.0.0.1", port: 7 });
    control.on("error", reject);
    control.on("end", () => reject(new Error("listeners: no response")));
    control.on("data", () => {
      control.destroy();
      resolve();
    });
    control.write(`${number}\n`);
  });
}

// Calls `request(url)` for each case; the environment has only its proxy variables meanwhile.
exports.each = async (request) => {
  const cases = JSON.parse(fs.readFileSync(process.argv.at(-1), "utf8"));
  for (const [number, { url, environment }] of cases.entries()) {
    for (const name of Object.keys(process.env)) {
      if (name.toLowerCase().endsWith("_proxy")) delete process.env[name];
    }
    Object.assign(process.env, environment);
    await announce(number);
    await request(url).catch(() => {}); // the first connection is what counts
  }
};
