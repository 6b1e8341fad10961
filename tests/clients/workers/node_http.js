"use strict";
// The modules http and https of Node.js, by an agent as NODE_USE_ENV_PROXY=1 installs it.
const http = require("node:http");
const https = require("node:https");
const { each } = require("./each.js");

each(
  (url) =>
    new Promise((resolve, reject) => {
      const library = url.startsWith("https:") ? https : http;
      const agent = new library.Agent({ proxyEnv: process.env });
      const request = library.get(url, { agent, timeout: 10_000 }, (response) => response.resume().on("end", resolve));
      request.on("error", reject).on("timeout", () => request.destroy(new Error("timeout")));
    }),
);
